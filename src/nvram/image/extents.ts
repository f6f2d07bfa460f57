/**
 * Where blobs may lie, and where the next one goes. A commit writes only into space that the last
 * acknowledged state does not use, so nothing here ever hands out a byte that is still needed.
 * @module
 */
import { HALF_BYTES, PAGE_BYTES, POOL_OFFSET, SLOT_OFFSETS, type SlotIndex } from './layout.js';

/** Bytes `offset` to `offset + length` of the guest's disk. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** The room that a blob takes: whole pages, and one page even if it is empty, so that no two share. */
export const roundUp = (length: number): number =>
  Math.max(1, Math.ceil(length / PAGE_BYTES)) * PAGE_BYTES;

export const endOf = ({ offset, length }: Extent): number => offset + length;

/** The three stretches of an area that extents may lie in: behind each slot, and the pool. */
export function stretches(areaLength: number): { halves: readonly [Extent, Extent]; pool: Extent } {
  const half = (slot: SlotIndex): Extent => ({
    offset: SLOT_OFFSETS[slot] + PAGE_BYTES,
    length: HALF_BYTES - PAGE_BYTES,
  });
  return {
    halves: [half(0), half(1)],
    pool: { offset: POOL_OFFSET, length: Math.max(0, areaLength - POOL_OFFSET) },
  };
}

/** The bytes of an area that belong to no blob, the unused ends of pages included. */
export function unusedBytes(used: readonly Extent[], areaLength: number): Extent[] {
  const { halves, pool } = stretches(areaLength);
  return [...halves, pool].flatMap(stretch => gapsIn(stretch, used));
}

/** The parts of `stretch` that none of `taken` covers, in order. */
function gapsIn(stretch: Extent, taken: readonly Extent[]): Extent[] {
  const within = taken
    .filter(extent => endOf(extent) > stretch.offset && extent.offset < endOf(stretch))
    .sort((a, b) => a.offset - b.offset);
  const free: Extent[] = [];
  let at = stretch.offset;
  for (const extent of [...within, { offset: endOf(stretch), length: 0 }]) {
    if (extent.offset > at) free.push({ offset: at, length: extent.offset - at });
    at = Math.max(at, endOf(extent));
  }
  return free;
}

/**
 * The offset of free space for `length` bytes, or undefined where there is none. `used` is what may
 * not be touched. Looks into `wanted` first to last, and takes the first gap that is wide enough.
 */
export function allocate(
  length: number,
  used: readonly Extent[],
  wanted: readonly Extent[],
): number | undefined {
  const pages = used.map(extent => ({ offset: extent.offset, length: roundUp(extent.length) }));
  return wanted.flatMap(stretch => gapsIn(stretch, pages)).find(gap => gap.length >= length)
    ?.offset;
}
