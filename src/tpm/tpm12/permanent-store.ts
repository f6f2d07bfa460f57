/**
 * Storing the permanent state before the guest is answered, and rolling back to what was stored.
 * @module
 */
import { StoreFailure } from '../engine.js';
import { hostTrouble } from './dispatch.js';
import type { Tpm } from './environment.js';
import { allKeys, isOwnerEvict } from './keys/loaded.js';
import { LIMITS } from './limits.js';
import { demand, TpmFault } from './results.js';
import { decodePermall, encodePermall } from './state/permall.js';
import { wipePermanent } from './state/state.js';

/**
 * Stores the permanent state, before the guest is told. Where that fails, what is in memory goes back
 * to what is stored as well: the TPM fails, but what it says of itself outside stays true.
 */
export function store(tpm: Tpm): void {
  const { permanent, keys } = tpm.state;
  permanent.evictKeys = allKeys(keys).filter(isOwnerEvict);
  const blob = encodePermall(permanent);
  demand(blob.length <= LIMITS.permanentBytes, 'FAIL');
  try {
    tpm.nvram.store('permall', blob);
  } catch (error) {
    if (error instanceof StoreFailure) tryRollBack(tpm);
    throw error;
  }
}

function tryRollBack(tpm: Tpm): void {
  try {
    rollBack(tpm);
  } catch (error) {
    // The failure that led here is the one to tell.
    if (!(error instanceof TpmFault)) hostTrouble(error);
  }
}

/** Goes back to the permanent state that was last stored, but keeps what no store ever held. */
export function rollBack(tpm: Tpm): void {
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
