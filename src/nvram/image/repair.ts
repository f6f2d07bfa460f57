/**
 * Repairing a store: only what is certain.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { openStore } from './candidate.js';
import type { OpenStoreOptions } from './opened.js';

/**
 * Settles a store that was cut off: an incomplete generation is dropped, a complete one finished, and
 * the store is closed in order. An instance that was active is fenced off.
 * @returns whether there was anything to do
 * @throws NvramError for what cannot be repaired: CORRUPT, KEY_REQUIRED, WRONG_KEY, REVISION, TOO_SMALL,
 *   EMPTY; ImageError; IoError
 */
export function repairStore(disk: LockedNode, options: OpenStoreOptions): boolean {
  const candidate = openStore(disk, options);
  const isSettled = candidate.isSettled;
  if (isSettled) candidate.discard();
  else candidate.activate().close();
  return !isSettled;
}
