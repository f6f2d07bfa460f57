/**
 * Storing a state before the guest is answered. Where that fails, the state in memory goes back to
 * the stored one: the TPM fails, but what it reports of itself stays true.
 * @module
 */
import { type BlobName, type NvramPort, StoreFailure } from '../engine.js';
import { Fault, hostTrouble } from './fault.js';

/**
 * Stores `bytes` as `name`.
 * @throws StoreFailure, after `rollBack`
 */
export function commit(
  nvram: NvramPort,
  name: BlobName,
  bytes: Uint8Array,
  rollBack: () => void,
): void {
  try {
    nvram.store(name, bytes);
  } catch (error) {
    if (error instanceof StoreFailure) tryRollBack(rollBack);
    throw error;
  }
}

/** The failure that led here is the one to report, whatever the roll back meets. */
function tryRollBack(rollBack: () => void): void {
  try {
    rollBack();
  } catch (error) {
    if (!(error instanceof Fault)) hostTrouble(error);
  }
}
