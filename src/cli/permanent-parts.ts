/**
 * In which parts two permanent states of a TPM 1.2 differ, by the specification's names (Part 2, chapter 7).
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import { StateError } from '../tpm/engine.js';
import { decodePermall } from '../tpm/tpm12/state/permall.js';
import { type Permanent, wipePermanent } from '../tpm/tpm12/state/permanent.js';
import { hex32 } from './values.js';

/** The parts that differ; undefined where one of the blobs is no state of a TPM 1.2. */
export function differingParts(a: Uint8Array, b: Uint8Array): string[] | undefined {
  const states: Permanent[] = [];
  try {
    states.push(decodePermall(a));
    states.push(decodePermall(b));
    const [left, right] = states.map(partsOf);
    const names = new Set([...left!.keys(), ...right!.keys()]);
    return [...names].filter(name => !isDeepStrictEqual(left!.get(name), right!.get(name)));
  } catch (error) {
    if (error instanceof StateError) return undefined;
    throw error;
  } finally {
    states.forEach(wipePermanent);
  }
}

/** Each flag, each field of TPM_PERMANENT_DATA, each NV index, and the keys that the owner keeps loaded. */
const partsOf = ({ data, flags, evictKeys, nv }: Permanent): Map<string, unknown> =>
  new Map<string, unknown>([
    ...Object.entries(data),
    ...Object.entries(flags),
    ['owner evict keys', evictKeys],
    ...nv
      .filter(entry => entry !== undefined)
      .map(entry => [`NV index ${hex32(entry.publicInfo.nvIndex)}`, entry] as const),
  ]);
