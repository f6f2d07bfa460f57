/**
 * What a machine refuses to do, and what became of a transition that failed half-way.
 * @module
 */
import { NvtpmError, type Outcome } from '../errors.js';

/** Why a machine refuses a transition. */
// biome-ignore format: table
export type MachineErrorCode =
  | 'PHASE'        // Not possible while the machine is off, on, handed over or gone.
  | 'BUSY'         // A command is running.
  | 'UNSUPPORTED'  // The store cannot do this.
  | 'ENGINE'       // The state is of a TPM of another version than the engine.
  | 'REFUSED'      // The state breaks a rule; nothing was written.
  | 'UNCERTAIN'    // It failed after the first write: the image may belong to this machine now.
  | 'WORKER'; // The worker that held the machine has ended.

export class MachineError extends NvtpmError {
  override readonly name = 'MachineError';
  readonly code: MachineErrorCode;
  /** Every rule that is broken; empty unless the code is REFUSED. */
  readonly broken: readonly string[];

  constructor(
    code: MachineErrorCode,
    message: string,
    more: { broken?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? {} : { cause: more.cause });
    this.code = code;
    this.broken = more.broken ?? [];
  }

  get outcome(): Outcome {
    return this.cause instanceof NvtpmError ? this.cause.outcome : 'FAILED';
  }
}
