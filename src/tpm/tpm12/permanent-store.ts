/**
 * Storing the permanent state before the guest is answered, and rolling back to what was stored.
 * @module
 */
import { commit } from '../kernel/commit.js';
import type { Environment } from './environment.js';
import { LIMITS } from './limits.js';
import { demand, TpmFault } from './results.js';
import { decodePermall, encodePermall } from './state/permall.js';
import { wipePermanent } from './state/permanent.js';
import { isOwnerEvict } from './state/places.js';

/**
 * Stores the permanent state, before the guest gets its response. Where that fails, memory goes
 * back to what is stored as well: the TPM fails, but what it says of itself outside stays true.
 */
export function store(tpm: Environment): void {
  const { permanent, keys } = tpm.state;
  permanent.evictKeys = keys.all.filter(isOwnerEvict);
  const blob = encodePermall(permanent);
  demand(blob.length <= LIMITS.permanentBytes, 'FAIL');
  commit(tpm.nvram, 'permall', blob, () => rollBack(tpm));
}

/** Goes back to the permanent state that was last stored, but keeps what no store ever held. */
export function rollBack(tpm: Environment): void {
  const blob = tpm.nvram.load('permall');
  if (blob === undefined) throw new TpmFault('FAIL');
  const { state } = tpm;
  const before = state.permanent;
  const kept = new Map(before.nv.map(entry => [entry?.publicInfo.nvIndex, entry?.publicInfo]));
  state.permanent = decodePermall(blob);
  for (const entry of state.permanent.nv) {
    const held = kept.get(entry?.publicInfo.nvIndex);
    if (entry === undefined || held === undefined) continue;
    entry.publicInfo.readSTClear = held.readSTClear;
    entry.publicInfo.writeSTClear = held.writeSTClear;
  }
  wipePermanent(before);
}
