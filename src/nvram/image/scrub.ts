/**
 * Overwriting everything that a change of the key left behind: plaintext, or what an older key
 * encrypted.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { eraseFreeClusters } from '../../block/proof.js';
import { planCommit, writeCommit } from './commit.js';
import { type Extent, unusedBytes } from './extents.js';
import { ACK_RECORD_OFFSET, POOL_OFFSET, SECTOR_BYTES } from './layout.js';
import type { Opened } from './opened.js';

const ZEROS = new Uint8Array(64 * 1024);
/** The rest of the page that the acknowledgement record begins. */
const ACK_SLACK: Extent = {
  offset: ACK_RECORD_OFFSET + SECTOR_BYTES,
  length: POOL_OFFSET - ACK_RECORD_OFFSET - SECTOR_BYTES,
};

/**
 * Brings both slots under the present key, then overwrites every byte of the area that no blob uses
 * (the unused ends of pages included) and what the image file holds in free clusters. Cut off at any
 * point, the store stays `unscrubbed`, and the next activation does all of it again.
 * @throws NvramError CORRUPT, TOO_SMALL; IoError
 */
export function scrub(disk: LockedNode, opened: Opened): void {
  writeCommit(disk, opened, planCommit(disk, opened, { entries: opened.again(disk) }));
  const { directory, older } = opened.state;
  const used = [...directory.entries, ...older];
  for (const extent of [ACK_SLACK, ...unusedBytes(used, directory.areaLength)]) {
    overwrite(disk, extent);
  }
  disk.flush();
  eraseFreeClusters(disk);
  const { entries } = directory;
  writeCommit(disk, opened, planCommit(disk, opened, { entries, unscrubbed: false }));
}

function overwrite(disk: LockedNode, { offset, length }: Extent): void {
  for (let done = 0; done < length; done += ZEROS.length) {
    disk.write(offset + done, ZEROS.subarray(0, Math.min(ZEROS.length, length - done)));
  }
}
