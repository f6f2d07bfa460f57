/**
 * The one writer of the first cluster. A header is changed by one write of its first sector, so that a
 * power cut leaves the old one or the new one.
 * @module
 */
import { concat, equal } from '../../wire/codec.js';
import type { MetadataCache } from './cache.js';
import { EXTENSION, type Extension, writeExtensions } from './extensions.js';
import {
  type Header,
  INCOMPATIBLE,
  INCOMPATIBLE_OFFSET,
  type Purpose,
  writeHeader,
} from './header.js';
import { hostOffset } from './units.js';
import { type FirstCluster, readFirstCluster, type View } from './view.js';
import { viewOf } from './words.js';

const SECTOR_BYTES = 512;

/** The view, for the one that may change it. */
export type WritableView = { -readonly [Field in keyof View]: View[Field] };

export class HeaderWriter {
  readonly #view: WritableView;
  readonly #cache: MetadataCache;
  readonly #purpose: Purpose;

  constructor(view: WritableView, cache: MetadataCache, purpose: Purpose) {
    this.#view = view;
    this.#cache = cache;
    this.#purpose = purpose;
  }

  /** Makes all changes of metadata durable. */
  commitAndFlush(): void {
    this.#cache.commit();
    this.#view.host.flush();
  }

  /** Writes the header with these fields changed. All that was written before it is durable before it. */
  rewrite(changes: Partial<Header>): void {
    const { host, bytes } = this.#view;
    const header = { ...this.#view.header, ...changes };
    const start = writeHeader(header);
    this.commitAndFlush();
    host.writeOrBreak(hostOffset(0), start);
    host.flush();
    this.#view.header = header;
    this.#view.bytes = concat(start, bytes.subarray(start.length));
  }

  /**
   * Puts an extension in front of all others, in place of one of its type, durably. The table of
   * feature names, which is for people only, is dropped where it is in the way.
   * @returns false where the first cluster has no room for it
   */
  putFirst(extension: Extension): boolean {
    const { host, path, bytes: before, extensions } = this.#view;
    const others = extensions.filter(({ type }) => type !== extension.type);
    const essential = others.filter(({ type }) => type !== EXTENSION.featureNames);
    const bytes =
      layOut(this.#view, [extension, ...others]) ?? layOut(this.#view, [extension, ...essential]);
    if (bytes === undefined) return false;
    this.commitAndFlush();
    const tail = bytes.subarray(SECTOR_BYTES);
    if (!equal(tail, before.subarray(SECTOR_BYTES, bytes.length))) {
      host.write(hostOffset(SECTOR_BYTES), tail);
      host.flush();
    }
    host.writeOrBreak(hostOffset(0), bytes.subarray(0, SECTOR_BYTES));
    host.flush();
    Object.assign(this.#view, readFirstCluster(path, host, this.#purpose));
    return true;
  }

  /**
   * Sets the corrupt bit in the header that the file has, whatever it says otherwise. Nothing that is
   * held back is written: it cannot be trusted.
   */
  markCorrupt(): void {
    const { host, header } = this.#view;
    if (header.version < 3) return;
    const at = hostOffset(INCOMPATIBLE_OFFSET);
    const bytes = host.read(at, 8);
    const word = viewOf(bytes);
    word.setBigUint64(0, word.getBigUint64(0) | INCOMPATIBLE.corrupt);
    host.write(at, bytes);
    host.flush();
  }
}

/**
 * A first cluster with these extensions. What lies past its first sector is written first, so none of
 * it may be in use by the cluster as it is: only then is the image intact between the two writes.
 * @returns undefined where there is no such layout
 */
export function layOut(
  { bytes: old, header, geometry }: Pick<FirstCluster, 'bytes' | 'header' | 'geometry'>,
  extensions: readonly Extension[],
): Uint8Array | undefined {
  const { headerLength, backingFileOffset: oldNameAt, backingFileSize } = header;
  const name = old.slice(oldNameAt, oldNameAt === 0 ? 0 : oldNameAt + backingFileSize);
  const area = writeExtensions(extensions);
  const areaEnd = headerLength + area.length;
  const nameAt =
    oldNameAt === 0 || areaEnd <= oldNameAt ? oldNameAt : Math.max(areaEnd, old.length);
  const end = Math.max(areaEnd, nameAt + name.length);
  if (end > geometry.clusterSize) return undefined;
  const bytes = new Uint8Array(end);
  bytes.set(old.subarray(0, end));
  bytes.set(writeHeader({ ...header, backingFileOffset: hostOffset(nameAt) }));
  bytes.set(area, headerLength);
  bytes.set(name, nameAt === 0 ? end : nameAt);
  const inUse = old.subarray(SECTOR_BYTES, end);
  return equal(bytes.subarray(SECTOR_BYTES, SECTOR_BYTES + inUse.length), inUse)
    ? bytes
    : undefined;
}
