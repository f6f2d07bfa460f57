/**
 * What a directory claims, checked before a byte is read because of it: its digest shows
 * integrity, not origin.
 * @module
 */
import { BLOB_BYTES_MAX } from '../store.js';
import { ENCRYPTION_EXTRA_BYTES, isAffordable } from './cipher.js';
import { type Extent, endOf, stretches } from './extents.js';
import { isCurrent } from './history.js';
import {
  AREA_BYTES_MAX,
  AREA_BYTES_MIN,
  type Directory,
  HISTORY_LENGTH_MAX,
  PAGE_BYTES,
} from './layout.js';

/** What holds of every directory that this format allows. */
// biome-ignore format: table
const CLAIMS: Readonly<Record<string, (d: Directory) => boolean>> = {
  [`the area is whole pages, ${AREA_BYTES_MIN} to ${AREA_BYTES_MAX} bytes`]:
    d => d.areaLength >= AREA_BYTES_MIN && d.areaLength <= AREA_BYTES_MAX && d.areaLength % PAGE_BYTES === 0,
  [`a blob has at most ${BLOB_BYTES_MAX} bytes`]:
    d => d.blobLimit <= BLOB_BYTES_MAX,
  [`at most ${HISTORY_LENGTH_MAX} older states are kept`]:
    d => d.historyLength <= HISTORY_LENGTH_MAX,
  'the cost of the password is within the limit':
    d => isAffordable(d.encryption),
  'generations count from 1':
    d => d.generation >= 1,
  'there is a first blob before there are blobs':
    d => d.firstBlobGeneration <= d.generation && (d.firstBlobGeneration > 0 || d.entries.length === 0),
  'no blob is newer than its directory':
    d => d.entries.every(entry => entry.generation <= d.generation && entry.lastGeneration < d.generation),
  'no two current blobs have the same name':
    d => new Set(currentNames(d)).size === currentNames(d).length,
};

const currentNames = (directory: Directory): string[] =>
  directory.entries.filter(isCurrent).map(entry => entry.name);

/** What is wrong with a directory that was read, as sentences; empty if nothing is. */
export function brokenClaims(directory: Directory): string[] {
  const broken = Object.entries(CLAIMS)
    .filter(([, holds]) => !holds(directory))
    .map(([claim]) => `not so: ${claim}`);
  return [...broken, ...misplaced(directory)];
}

/** What is wrong with where a directory says that its blobs are. */
function misplaced({ areaLength, blobLimit, encryption, entries }: Directory): string[] {
  const { halves, pool } = stretches(areaLength);
  const inside = (extent: Extent): boolean =>
    [...halves, pool].some(s => s.offset <= extent.offset && endOf(extent) <= endOf(s));
  const lengthMax = blobLimit + (encryption.kind === 0 ? 0 : ENCRYPTION_EXTRA_BYTES);
  const findings: string[] = [];
  const sorted = [...entries].sort((a, b) => a.offset - b.offset);
  sorted.forEach((entry, index) => {
    const next = sorted[index + 1];
    const where = `blob ${entry.name} at offset ${entry.offset}, ${entry.length} bytes`;
    if (entry.length > lengthMax) findings.push(`${where}, is longer than ${lengthMax}`);
    if (entry.offset % PAGE_BYTES !== 0) findings.push(`${where}, does not start on a page`);
    if (!inside(entry)) findings.push(`${where}, lies outside the room for blobs`);
    if (next !== undefined && next.offset < endOf(entry)) {
      findings.push(`${where}, overlaps blob ${next.name}`);
    }
  });
  return findings;
}
