/**
 * Cached metadata: slices of L1, L2 and refcount tables, at most so many bytes of them, the least
 * recently used given up first.
 *
 * Changes are held back and written in stages with a flush between them, so that a power cut
 * leaves clusters that nobody refers to (leaks) and never references to what is not there:
 *
 *   0  refcounts, and tables that nothing refers to yet (and the data, written before)
 *   1  the refcount table, which makes new refcount blocks count
 *   2  the mapping: L1 and L2 entries
 *
 * Refcounts are raised in stage 0 and lowered only after stage 2 has been flushed (refcounts.ts).
 * @module
 */
import type { HostFile } from './host.js';
import { readWord, type Word, writeWord } from './words.js';

const SLICE_BYTES = 4096;
export const DEFAULT_CACHE_BYTES = 4 * 2 ** 20;

export type Stage = 0 | 1 | 2;

/** A piece of a table. To be used at once: the next call may give it up. */
export interface Slice {
  readonly start: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

interface Cached extends Slice {
  stage: Stage | undefined;
  /** The bytes that were changed: from, to. */
  from: number;
  to: number;
}

export class MetadataCache {
  readonly #host: HostFile;
  readonly #clusterSize: number;
  readonly sliceBytes: number;
  readonly #mostSlices: number;
  /** In the order of their last use: a Map keeps the order of insertion. */
  readonly #slices = new Map<number, Cached>();
  readonly #dirty = new Set<Cached>();
  /** Clusters of tables that nothing on the disk refers to yet. */
  readonly #unreferenced = new Set<number>();

  constructor(host: HostFile, clusterSize: number, cacheBytes = DEFAULT_CACHE_BYTES) {
    this.#host = host;
    this.#clusterSize = clusterSize;
    this.sliceBytes = Math.min(SLICE_BYTES, clusterSize);
    this.#mostSlices = Math.max(4, Math.floor(cacheBytes / this.sliceBytes));
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** The slice in which `offset` lies. */
  slice(offset: number): Slice {
    return this.#cached(offset);
  }

  word(offset: number): Word {
    const { view, start } = this.#cached(offset);
    return readWord(view, offset - start);
  }

  setWord(offset: number, word: Word, stage: Stage): void {
    const slice = this.#cached(offset);
    writeWord(slice.view, offset - slice.start, word);
    this.#changed(slice, offset - slice.start, 8, stage);
  }

  /** Says that `length` bytes at `offset` of a slice were changed. */
  changed(offset: number, length: number, stage: Stage): void {
    const slice = this.#cached(offset);
    this.#changed(slice, offset - slice.start, length, stage);
  }

  /** Makes the cluster a table of zeros that nothing refers to yet. */
  newTable(cluster: number): void {
    this.forget(cluster);
    if (this.#host.isBlank(cluster)) this.#host.reserve(cluster + this.#clusterSize);
    else this.#host.write(cluster, new Uint8Array(this.#clusterSize));
    this.#unreferenced.add(cluster);
  }

  /** Drops what is cached of a cluster that is no table any more, changes and all. */
  forget(cluster: number): void {
    this.#unreferenced.delete(cluster);
    if (this.#slices.size * this.sliceBytes < this.#clusterSize) {
      for (const start of this.#slices.keys()) {
        if (start >= cluster && start < cluster + this.#clusterSize) this.#drop(start);
      }
    } else {
      for (let at = cluster; at < cluster + this.#clusterSize; at += this.sliceBytes) {
        this.#drop(at);
      }
    }
  }

  /** Drops everything that is not waiting to be written. */
  invalidate(): void {
    for (const [start, slice] of this.#slices) {
      if (slice.stage === undefined) this.#slices.delete(start);
    }
  }

  /** Writes all changes, in stages. The last stage is not flushed yet when this returns. */
  commit(): void {
    this.#host.grow();
    if (this.#dirty.size === 0) return;
    this.#write(0);
    for (const stage of [1, 2] as const) {
      if (![...this.#dirty].some(slice => slice.stage === stage)) continue;
      this.#host.flush();
      this.#write(stage);
    }
    this.#unreferenced.clear();
  }

  #cached(offset: number): Cached {
    const start = offset - (offset % this.sliceBytes);
    const known = this.#slices.get(start);
    if (known !== undefined) {
      this.#slices.delete(start);
      this.#slices.set(start, known);
      return known;
    }
    this.#makeRoom();
    const bytes = this.#host.read(start, this.sliceBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const slice: Cached = { start, bytes, view, stage: undefined, from: 0, to: 0 };
    this.#slices.set(start, slice);
    return slice;
  }

  #makeRoom(): void {
    if (this.#slices.size < this.#mostSlices) return;
    // Whatever was changed so far is consistent as it stands: callers put down what they refer to
    // before they refer to it.
    if (this.#dirty.size > this.#mostSlices / 2) this.commit();
    for (const [start, slice] of this.#slices) {
      if (slice.stage !== undefined) continue;
      this.#slices.delete(start);
      return;
    }
  }

  #changed(slice: Cached, from: number, length: number, stage: Stage): void {
    if (slice.stage === undefined) {
      slice.from = from;
      slice.to = from + length;
    } else {
      slice.from = Math.min(slice.from, from);
      slice.to = Math.max(slice.to, from + length);
    }
    const cluster = slice.start - (slice.start % this.#clusterSize);
    slice.stage = this.#unreferenced.has(cluster) ? 0 : stage;
    this.#dirty.add(slice);
  }

  #write(stage: Stage): void {
    const due = [...this.#dirty].filter(slice => slice.stage === stage);
    for (const slice of due.sort((a, b) => a.start - b.start)) {
      this.#host.write(slice.start + slice.from, slice.bytes.slice(slice.from, slice.to));
      slice.stage = undefined;
      this.#dirty.delete(slice);
    }
  }

  #drop(start: number): void {
    const slice = this.#slices.get(start);
    if (slice === undefined) return;
    this.#dirty.delete(slice);
    this.#slices.delete(start);
  }
}
