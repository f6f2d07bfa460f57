/**
 * The outcomes of opening a store, as errors. They are never merged: each asks for something else
 * to be done, and only a proven EMPTY may become a new TPM.
 * @module
 */
import { NvtpmError, type Outcome } from '../errors.js';

// biome-ignore format: table
const ADVICE = {
  EMPTY:        'nothing was ever stored here; power on without expect-existing to make a new TPM, or check that this is the right image',
  CORRUPT:      'the file was left as it is; restore a copy of it, or move it away and create a new one if the TPM in it may be lost',
  KEY_REQUIRED: 'the state is sealed; give its key (--key file=… or pwdfile=…)',
  WRONG_KEY:    'the state is sealed with another key; give the right one',
  REVISION:     'it was written by a newer nvtpm; use that version',
  TOO_SMALL:    'make the disk larger (qemu-img resize) or the state smaller',
  FORMATTED:    'the file was left as it is; use it as it is, or name another one',
  NOT_KEPT:     'name one of those (nvtpm info lists them)',
  FENCED:       'another instance has taken this TPM over; stop this one and use the other',
} as const;
export type NvramErrorCode = keyof typeof ADVICE;

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
    return this.code === 'FORMATTED' || this.code === 'NOT_KEPT' ? 'FAILED' : this.code;
  }
}
