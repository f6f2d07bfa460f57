/**
 * Damage of a stored blob in an image that a TPM may be using: through the mapping of the image, inside the
 * cycle lock, and with no regard for the guard.
 * @module
 */
import assert from 'node:assert/strict';
import { type LockedNode, openImage, takeGuard, withLock } from '../../src/block/index.js';
import { inspectStore } from '../../src/nvram/index.js';

/** Flips a bit in the current permanent state. Returns what repairs it. */
export function flipPermanentState(path: string): () => void {
  const at = placeOfPermanentState(path);
  const flip = (): void => {
    onDisk(path, disk => disk.write(at, Uint8Array.of(disk.read(at, 1)[0]! ^ 1)));
  };
  flip();
  return flip;
}

function placeOfPermanentState(path: string): number {
  const { state } = onDisk(path, disk => inspectStore(disk));
  const found = state?.directory.entries.find(
    ({ name, lastGeneration }) => name === 'permall' && lastGeneration === 0,
  );
  assert(found !== undefined, `${path} has no permanent state`);
  return found.offset;
}

function onDisk<T>(path: string, act: (disk: LockedNode) => T): T {
  using image = openImage(path);
  using _guard = takeGuard(image, 'incoming');
  return withLock(image, undefined, act);
}
