/**
 * The blobs that swtpm keeps, and how each is named: the suffix of a file in a state directory, a type
 * of `swtpm_ioctl --save`, a slot of a linear store (by its place here).
 * @module
 */
import { NvramError } from '../errors.js';
import { BLOB_BYTES_MAX, type BlobName, demandBlobLength } from '../store.js';

// biome-ignore format: table
export const SWTPM_BLOBS = [
  { name: 'permall',       ioctl: 'permanent' },
  { name: 'volatilestate', ioctl: 'volatile' },
  { name: 'savestate',     ioctl: 'savestate' },
] as const;

export type SwtpmBlobName = (typeof SWTPM_BLOBS)[number]['name'];

/** swtpm's header, sections, padding and IVs of two layers take less than this. */
const WRAPPER_BYTES_MAX = 1024;
/** The most bytes of a blob in swtpm's wrapper. */
export const WRAPPED_BYTES_MAX = BLOB_BYTES_MAX + WRAPPER_BYTES_MAX;

/** @throws NvramError INVALID_NAME */
export function swtpmBlobOf(path: string, name: BlobName): (typeof SWTPM_BLOBS)[number] {
  const found = SWTPM_BLOBS.find(each => each.name === name);
  if (found !== undefined) return found;
  const known = SWTPM_BLOBS.map(each => each.name).join(', ');
  throw new NvramError('INVALID_NAME', path, [`swtpm keeps ${known}, and no blob ${name}`]);
}

/** Refuses changes that swtpm has no place for, before any of them is made. @throws NvramError */
export function demandSwtpmChanges(
  path: string,
  changes: ReadonlyMap<BlobName, Uint8Array | null>,
): void {
  for (const [name, bytes] of changes) {
    swtpmBlobOf(path, name);
    demandBlobLength(path, name, bytes?.length ?? 0, BLOB_BYTES_MAX);
  }
}
