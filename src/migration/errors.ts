/**
 * Errors between two machines, as opposed to errors of one of them.
 * @module
 */
import { NvtpmError, type Outcome } from '../errors.js';

/** Why a migration did not take place. */
// biome-ignore format: table
export type MigrationErrorCode =
  | 'MALFORMED'  // What arrived is not a manifest.
  | 'REFUSED'    // It is a manifest, and breaks a rule; nothing was written.
  | 'UNCERTAIN'; // The take-over failed after its first write: the image says which instance has the TPM.

export class MigrationError extends NvtpmError {
  override readonly name = 'MigrationError';
  readonly code: MigrationErrorCode;
  /** Every rule that is broken, or the reason. */
  readonly broken: readonly string[];

  constructor(code: MigrationErrorCode, broken: readonly string[], cause?: unknown) {
    const what = code === 'UNCERTAIN' ? 'the migration failed' : 'the migration was refused';
    super(`${what}: ${broken.join('; ')}`, cause === undefined ? {} : { cause });
    this.code = code;
    this.broken = broken;
  }

  get outcome(): Outcome {
    return this.cause instanceof NvtpmError ? this.cause.outcome : 'FAILED';
  }
}
