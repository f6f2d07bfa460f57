/** State that the real swtpm has written, from fixtures/, and the blobs in it. */
import type { ExecutionContext } from 'ava';
import { fixture, hex } from '../../../lab/files.js';
import { NvtpmError } from '../../../src/errors.js';

interface Recorded {
  readonly stored: string;
  readonly saved: string;
}
const RECORDED = fixture<{ key: string } & Record<'1.2' | '2.0', Recorded>>(
  'states/swtpm-files.json',
);

export const VERSIONS = ['1.2', '2.0'] as const;
export const KEY = hex(RECORDED.key);

/** The permanent state file, encrypted with KEY. */
export const stored = (version: '1.2' | '2.0'): Uint8Array => hex(RECORDED[version].stored);
/** The same state, plain, as `swtpm_ioctl --save permanent` wrote it. */
export const saved = (version: '1.2' | '2.0'): Uint8Array => hex(RECORDED[version].saved);

/** Header, section of migration data, section of data: what swtpm has around the blob of libtpms. */
const AROUND_SAVED = 10 + 6 + 6;
/** The blob of libtpms in it, by the lengths of swtpm's format alone. */
export const blobOf = (version: '1.2' | '2.0'): Uint8Array => saved(version).slice(AROUND_SAVED);

/** The typed error that `act` throws: its code and message, or what else it threw. */
export function refusal(
  t: ExecutionContext,
  act: () => unknown,
): { code: string; message: string } {
  const error = t.throws(act);
  if (error instanceof NvtpmError) return error;
  return { code: `not typed: ${error?.name}`, message: error?.message ?? '' };
}
