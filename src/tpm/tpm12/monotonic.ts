/**
 * Monotonic counters as entities of a session (TPM Main Part 1, §17).
 * @module
 */
import { encode, u32 } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import type { Entity } from './auth/guest-auth.js';
import type { Call } from './call.js';
import { demand } from './results.js';
import type { Permanent } from './state/permanent.js';

type Counter = Permanent['data']['counters'][number];

/** @throws TpmFault BAD_COUNTER where no counter has the ID */
export function findCounter({ state }: Call, countID: number): Counter {
  const counter = state.permanent.data.counters[countID];
  demand(counter?.valid === true, 'BAD_COUNTER');
  return counter;
}

/**
 * A counter, as an authorisation is for it. libtpms knows it in a session by a digest with the ID in
 * the host's order, that is gone when the TPM was restarted.
 */
export function entityOfCounter(countID: number, { value, authData }: Counter): Entity {
  const id = encode(u32, countID).reverse();
  return { secret: authData, digest: sha1(id, value.label, authData) };
}
