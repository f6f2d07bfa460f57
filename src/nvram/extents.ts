/**
 * Where blobs may lie, and where the next one goes. A commit writes only into space that the last
 * acknowledged state does not use, so nothing here ever hands out a byte that is still needed.
 * @module
 */

import { isCurrent } from './history.js';
import type { SlotIndex } from './layout.js';
import { type Directory, HALF_BYTES, PAGE_BYTES, POOL_OFFSET, SLOT_OFFSETS } from './layout.js';

/** Bytes `offset` to `offset + length` of the guest's disk. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** The room that a blob takes: whole pages, and one page even if it is empty, so that no two share. */
export const roundUp = (length: number): number =>
  Math.max(1, Math.ceil(length / PAGE_BYTES)) * PAGE_BYTES;

const endOf = ({ offset, length }: Extent): number => offset + length;

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

/** What is wrong with where a directory says its blobs are, as sentences; empty if nothing is. */
export function misplaced(directory: Directory): string[] {
  const { halves, pool } = stretches(directory.areaLength);
  const inside = (extent: Extent): boolean =>
    [...halves, pool].some(s => s.offset <= extent.offset && endOf(extent) <= endOf(s));
  const findings: string[] = [];
  const sorted = [...directory.entries].sort((a, b) => a.offset - b.offset);
  sorted.forEach((entry, index) => {
    const next = sorted[index + 1];
    const where = `blob ${entry.name} at offset ${entry.offset}, ${entry.length} bytes`;
    if (entry.offset % PAGE_BYTES !== 0) findings.push(`${where}, does not start on a page`);
    if (!inside(entry)) findings.push(`${where}, lies outside the room for blobs`);
    if (next !== undefined && next.offset < endOf(entry)) {
      findings.push(`${where}, overlaps blob ${next.name}`);
    }
  });
  const current = directory.entries.filter(isCurrent);
  if (new Set(current.map(entry => entry.name)).size < current.length) {
    findings.push('two current blobs have the same name');
  }
  return findings;
}

/** The free stretches of an area, in order, whole pages each. */
export function gaps(used: readonly Extent[], areaLength: number): Extent[] {
  const { halves, pool } = stretches(areaLength);
  return [...halves, pool].flatMap(stretch => gapsIn(stretch, used));
}

function gapsIn(stretch: Extent, used: readonly Extent[]): Extent[] {
  const taken = used
    .map(extent => ({ offset: extent.offset, length: roundUp(extent.length) }))
    .filter(extent => endOf(extent) > stretch.offset && extent.offset < endOf(stretch))
    .sort((a, b) => a.offset - b.offset);
  const free: Extent[] = [];
  let at = stretch.offset;
  for (const extent of [...taken, { offset: endOf(stretch), length: 0 }]) {
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
  return wanted.flatMap(stretch => gapsIn(stretch, used)).find(gap => gap.length >= length)?.offset;
}
