/**
 * Zeros on a disk.
 * @module
 */
import type { LockedNode } from './node.js';
import { Qcow2Node } from './qcow2/node.js';
import { demandRange } from './range.js';

const STEP_BYTES = 2 ** 20;

/**
 * Makes bytes of a disk zeros. A qcow2 image of version 3 takes no space for whole clusters of them.
 * @throws ImageError RANGE, READONLY, DAMAGED; IoError
 */
export function writeZeroes(disk: LockedNode, offset: number, length: number): void {
  const image = disk.type === 'exclusive' ? Qcow2Node.diskOf(disk) : undefined;
  if (image !== undefined) {
    image.writeZeroes(offset, length);
    return;
  }
  demandRange(disk.path, disk, offset, length);
  for (let done = 0; done < length; done += STEP_BYTES) {
    disk.write(offset + done, new Uint8Array(Math.min(STEP_BYTES, length - done)));
  }
}
