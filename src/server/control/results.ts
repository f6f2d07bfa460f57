/**
 * Result codes of the control channel. QEMU prints a few of TPM 1.2's result codes with their words, and
 * that is all its user sees: each refusal has the nearest of them here, and a sentence in the log.
 * @module
 */
import { NvtpmError, type Outcome } from '../../errors.js';
import { StateError } from '../../tpm/engine.js';

// biome-ignore format: table
export const RESULT = {
  SUCCESS:       0x00,
  BAD_PARAMETER: 0x03,
  FAIL:          0x09,
  /** No such message, or not in this state of the TPM. */
  BAD_ORDINAL:   0x0a,
  KEY_NOT_FOUND: 0x0d,
  /** A number of bytes that is too large. */
  BAD_SIZE:      0x19,
  IO_ERROR:      0x1f,
  DECRYPT_ERROR: 0x21,
  BAD_VERSION:   0x2e,
  BAD_LOCALITY:  0x3d,
  /** A blob that is absent. Not an error: QEMU tests this bit. */
  ABSENT:        0x800,
} as const;

const BY_OUTCOME: Readonly<Partial<Record<Outcome, number>>> = {
  KEY_REQUIRED: RESULT.KEY_NOT_FOUND,
  WRONG_KEY: RESULT.DECRYPT_ERROR,
  TOO_SMALL: RESULT.BAD_SIZE,
  REVISION: RESULT.BAD_VERSION,
};

/** A message that is refused: a result code for the client, a sentence for the log. */
export class Refusal extends Error {
  readonly result: number;

  constructor(result: number, why: string) {
    super(why);
    this.result = result;
  }
}

/** What a failure is answered with; undefined for a bug. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof StateError) {
    const result = error.code === 'REVISION' ? RESULT.BAD_VERSION : RESULT.BAD_PARAMETER;
    return new Refusal(result, error.message);
  }
  if (!(error instanceof NvtpmError)) return undefined;
  return new Refusal(BY_OUTCOME[error.outcome] ?? RESULT.FAIL, error.message);
}
