/**
 * The range check of a disk, which does not grow by a write past its end.
 * @module
 */
import { ImageError } from './node.js';

/** @throws ImageError RANGE unless all of these bytes are on the disk */
export function demandRange(
  path: string,
  disk: { readonly length: number },
  offset: number,
  length: number,
): void {
  if (offset >= 0 && length >= 0 && offset + length <= disk.length) return;
  throw new ImageError('RANGE', path, [
    `bytes ${offset} to ${offset + length} are not all on the disk of ${disk.length} bytes`,
  ]);
}
