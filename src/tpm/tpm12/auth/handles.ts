/**
 * Handles that a TPM gives out (TPM Main Part 1, §4.2): drawn at random, never 0, never one that is
 * in use; a loaded context asks for its old one.
 * @module
 */
import { decode, u32 } from '../../../wire/codec.js';
import type { Entropy } from '../../engine.js';
import { demand, TpmFault } from '../results.js';

/** A handle that is asked for: it must be that one, or may be another where that one is taken. */
export interface WantedHandle {
  readonly handle: number;
  readonly keep: boolean;
}

const DRAWS_MAX = 1000;

/** @throws TpmFault BAD_HANDLE where the handle that must be kept cannot be */
export function takeHandle(
  isFree: (handle: number) => boolean,
  entropy: Entropy,
  wanted?: WantedHandle,
): number {
  const usable = (handle: number): boolean => handle !== 0 && isFree(handle);
  if (wanted !== undefined && usable(wanted.handle)) return wanted.handle;
  demand(wanted?.keep !== true, 'BAD_HANDLE');
  for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
    const handle = decode(u32, entropy(4));
    if (usable(handle)) return handle;
  }
  throw new TpmFault('FAIL');
}
