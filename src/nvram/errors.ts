/**
 * The outcomes of opening a store, as errors. They are never conflated: each asks for another remedy,
 * and only a proven EMPTY may become a new TPM.
 * @module
 */
import { NvtpmError, type Outcome } from '../errors.js';

// biome-ignore format: table
const ADVICE = {
  EMPTY:        'check that this is the right image, or set up a store in it (nvtpm create)',
  CORRUPT:      'the file was left as it is; restore a copy of it, or move it away and create a new one if the TPM in it may be lost',
  KEY_REQUIRED: 'give its key (--key file=… or pwdfile=…)',
  WRONG_KEY:    'give the key that the store was encrypted with, or none for a store that is not encrypted',
  REVISION:     'use the version of nvtpm that wrote it, or create a new store',
  TOO_SMALL:    'make the disk larger (qemu-img resize) or the state smaller',
  INVALID_NAME: 'a name is 1 to 16 of a-z, 0-9, dot and dash',
  FORMATTED:    'the file was left as it is; use it as it is, or name another one',
  NOT_KEPT:     'name one of those (nvtpm info lists them)',
  FENCED:       'another instance has taken this TPM over; stop this one and use the other',
} as const;
/**
 * The outcomes of opening and changing a store (docs/on-disk.md).
 * @useDeclaredType
 */
export type NvramErrorCode = keyof typeof ADVICE;

/** The codes that are no outcome of their own. */
const FAILURES: ReadonlySet<NvramErrorCode> = new Set(['INVALID_NAME', 'FORMATTED', 'NOT_KEPT']);

/** A store that cannot be used as asked, and every reason for it. */
export class NvramError extends NvtpmError {
  override readonly name = 'NvramError';
  readonly code: NvramErrorCode;
  readonly path: string;
  /** Every finding, as a sentence with offsets. */
  readonly findings: readonly string[];

  constructor(code: NvramErrorCode, path: string, findings: readonly string[]) {
    super(`${path}: ${[...findings, ADVICE[code]].join('; ')}`);
    this.code = code;
    this.path = path;
    this.findings = findings;
  }

  get outcome(): Outcome {
    return FAILURES.has(this.code) ? 'FAILED' : (this.code as Outcome);
  }
}
