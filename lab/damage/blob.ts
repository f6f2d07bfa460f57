/**
 * Damage of a stored blob in an image that a TPM may be using: through the mapping of the image, inside the
 * cycle lock, and with no regard for the guard.
 * @module
 */
import assert from 'node:assert/strict';
import { openImage, takeGuard, withLock } from '../../src/block/index.js';
import { inspectStore } from '../../src/nvram/index.js';

/** Flips a bit in the current permanent state. A second call repairs it. */
export function flipPermanentState(path: string): void {
  using image = openImage(path);
  using _guard = takeGuard(image, 'incoming');
  withLock(image, undefined, disk => {
    const { regions, state } = inspectStore(disk);
    const { entries } = state?.directory ?? {};
    const found = entries?.find(
      ({ name, lastGeneration }) => name === 'permall' && lastGeneration === 0,
    );
    const at = found?.offset ?? regions.find(({ what }) => what.startsWith('permall '))?.offset;
    assert(at !== undefined, `${path} has no permanent state`);
    disk.write(at, Uint8Array.of(disk.read(at, 1)[0]! ^ 1));
  });
}
