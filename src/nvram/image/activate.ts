/**
 * Becoming the one active instance: a commit with an epoch of its own, which fences off every other.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { allocateArea, storeTag, writeStoreTag } from '../../block/proof.js';
import { acknowledge, planCommit, writeCommit } from './commit.js';
import { SLOT_OFFSETS, TAG_KIND } from './layout.js';
import type { Opened } from './opened.js';
import { encodeDirectory } from './pages.js';
import { scrub } from './scrub.js';
import { isTagOf } from './witness.js';

/**
 * Makes a validated store the caller's. Runs inside the lock that validated it.
 * @throws NvramError CORRUPT, TOO_SMALL (where a change of the key is to be completed); IoError
 */
export function activate(disk: LockedNode, opened: Opened): void {
  tag(disk, opened);
  // A generation that was never acknowledged may be in the page cache only, after a failed flush;
  // or it was acknowledged, and its record did not land. Writing the very same bytes once more
  // harms neither, and makes sure of them before the slot of the generation before is used.
  if ((opened.state.ackRecord?.generation ?? 0) < opened.directory.generation) {
    writeAgain(disk, opened);
    disk.flush();
  }
  // Not clean any more, and that is on the disk before the first slot is touched: else a commit
  // that is cut off would look like damage to a store that was closed in order.
  acknowledge(disk, opened, 'open');
  disk.flush();
  const { entries, epoch } = opened.directory;
  writeCommit(disk, opened, planCommit(disk, opened, { entries, epoch: epoch + 1 }));
  if (opened.directory.unscrubbed) scrub(disk, opened);
}

/**
 * Makes the image's header name the store that is in it. An image that was converted, or an overlay,
 * has no such tag yet. The area is allocated first: with the tag, an unallocated part of it counts as
 * lost.
 */
export function tag(disk: LockedNode, { directory }: Opened): void {
  const found = storeTag(disk);
  if (found !== undefined && isTagOf(directory, found)) return;
  allocateArea(disk, directory.areaLength);
  writeStoreTag(disk, { uuid: directory.uuid, kind: TAG_KIND });
}

/** Writes the newest generation where it is, as it is. */
function writeAgain(disk: LockedNode, { state, cipher }: Opened): void {
  const { slot, directory } = state;
  for (const { offset, length } of directory.entries) {
    disk.write(offset, disk.read(offset, length));
  }
  disk.write(SLOT_OFFSETS[slot], encodeDirectory(directory, cipher));
}
