/**
 * Why state in swtpm's format cannot be read or written, as errors.
 * @module
 */
import { NvtpmError, type Outcome } from '../../errors.js';

/** The outcome of each code, and what to do. */
// biome-ignore format: table
const CODES = {
  ABSENT:       ['EMPTY',        'check that this is the right place'],
  MALFORMED:    ['CORRUPT',      'nothing was changed; use another copy of the state'],
  REVISION:     ['REVISION',     'nothing was changed; the program that wrote it can read it'],
  KEY_REQUIRED: ['KEY_REQUIRED', 'give the key that swtpm has'],
  WRONG_KEY:    ['WRONG_KEY',    'give the key that swtpm has, with its mode and kdf, and none for plain state'],
  AMBIGUOUS:    ['FAILED',       'say which one is meant'],
  BACKUP:       ['FAILED',       'if the backup is to be used, rename it as swtpm would'],
  EXISTS:       ['USAGE',        'name another place, or replace what is there (--force)'],
  UNSUPPORTED:  ['FAILED',       'use another place'],
} as const satisfies Record<string, readonly [Outcome, string]>;

/** @useDeclaredType */
export type SwtpmErrorCode = keyof typeof CODES;

/** State in swtpm's format that cannot be used as asked. */
export class SwtpmError extends NvtpmError {
  override readonly name = 'SwtpmError';
  readonly code: SwtpmErrorCode;
  readonly path: string;

  constructor(code: SwtpmErrorCode, path: string, why: string, advice: string = CODES[code][1]) {
    super(`${path}: ${why}; ${advice}`);
    this.code = code;
    this.path = path;
  }

  get outcome(): Outcome {
    return CODES[this.code][0];
  }
}
