/**
 * The fence: an instance that became active wrote a directory with an epoch of its own, so every
 * cycle of an instance that was replaced finds another one than it left, whether locks work or not.
 * @module
 */
import { withLock } from '../../block/lock.js';
import type { LockedNode } from '../../block/node.js';
import { equal } from '../../wire/codec.js';
import { NvramError } from '../errors.js';
import { PAGE_BYTES, SECTOR_BYTES, SLOT_OFFSETS } from './layout.js';
import type { Opened } from './opened.js';
import { readDirectory } from './pages.js';

/**
 * Demands that both slots are as this instance wrote or validated them.
 * @throws NvramError FENCED, CORRUPT
 */
export function demandOurs(disk: LockedNode, { state }: Opened): void {
  const changed = SLOT_OFFSETS.filter((offset, index) => {
    const head = disk.read(offset, SECTOR_BYTES);
    return !equal(head, state.heads[index]!);
  });
  if (changed.length === 0) return;
  for (const offset of changed) {
    const found = readDirectory(disk.read(offset, PAGE_BYTES));
    if (found.is !== 'sound') continue;
    const { epoch, generation } = found.value;
    const ours = state.directory;
    throw new NvramError('FENCED', disk.path, [
      `the store is at epoch ${epoch}, generation ${generation}; ours is epoch ${ours.epoch}, generation ${ours.generation}`,
    ]);
  }
  throw new NvramError('CORRUPT', disk.path, ['a directory was damaged while the TPM was active']);
}

/** Whether no other instance has become active, in a cycle of its own. */
export function isOurs(opened: Opened): boolean {
  return withLock(opened.node, opened.wait, disk => {
    try {
      demandOurs(disk, opened);
      return true;
    } catch (error) {
      if (error instanceof NvramError && error.code === 'FENCED') return false;
      throw error;
    }
  });
}
