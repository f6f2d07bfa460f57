/**
 * Cached metadata: slices of L1, L2 and refcount tables, of which the least recently used are evicted.
 *
 * Changes are held back and written in stages with a flush between them, so that a power cut leaves
 * clusters without a reference (leaks) and never references to what is not there:
 *
 *   0  refcounts, and tables that nothing refers to yet (and the data, written before)
 *   1  the refcount table, which makes new refcount blocks count
 *   2  the mapping: L1 and L2 entries
 *
 * Refcounts are raised in stage 0 and lowered only after stage 2 has been flushed (refcounts.ts).
 * @module
 */
import type { HostFile } from './host.js';
import { type HostOffset, plus } from './units.js';
import { readWord, viewOf, type Word, writeWord } from './words.js';

const SLICE_BYTES = 4096;
export const DEFAULT_CACHE_BYTES = 4 * 2 ** 20;

export type WriteStage = 0 | 1 | 2;

/** A piece of a table. Valid only until the next call of the cache, which may evict it. */
export interface Slice {
  readonly start: HostOffset;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

interface Cached extends Slice {
  stage: WriteStage | undefined;
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
  readonly #slices = new Map<HostOffset, Cached>();
  readonly #dirty = new Set<Cached>();
  /** Tables, of a cluster each, that nothing on the disk refers to yet. */
  readonly #unreferenced = new Set<HostOffset>();

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
  slice(offset: HostOffset): Slice {
    return this.#cached(offset);
  }

  word(offset: HostOffset): Word {
    const { view, start } = this.#cached(offset);
    return readWord(view, offset - start);
  }

  setWord(offset: HostOffset, word: Word, stage: WriteStage): void {
    const slice = this.#cached(offset);
    writeWord(slice.view, offset - slice.start, word);
    this.#changed(slice, offset - slice.start, 8, stage);
  }

  /** Records that `length` bytes at `offset` were changed in their slice. */
  changed(offset: HostOffset, length: number, stage: WriteStage): void {
    const slice = this.#cached(offset);
    this.#changed(slice, offset - slice.start, length, stage);
  }

  /** Makes the cluster at `table` a table of zeros that nothing refers to yet. */
  newTable(table: HostOffset): void {
    this.forget(table);
    if (this.#host.isBlank(table)) this.#host.reserve(plus(table, this.#clusterSize));
    else this.#host.write(table, new Uint8Array(this.#clusterSize));
    this.#unreferenced.add(table);
  }

  /** Drops what is cached of a cluster that is not a table, changes included. */
  forget(cluster: HostOffset): void {
    this.#unreferenced.delete(cluster);
    if (this.#slices.size * this.sliceBytes < this.#clusterSize) {
      for (const start of this.#slices.keys()) {
        if (start >= cluster && start < cluster + this.#clusterSize) this.#drop(start);
      }
    } else {
      for (let at = 0; at < this.#clusterSize; at += this.sliceBytes) this.#drop(plus(cluster, at));
    }
  }

  /** Drops everything, changes included. */
  clear(): void {
    this.#slices.clear();
    this.#dirty.clear();
    this.#unreferenced.clear();
  }

  /**
   * Writes all changes, in stages. The last stage is not flushed yet when this returns. What a failed
   * write leaves unwritten is written by the next call.
   */
  commit(): void {
    this.#host.grow();
    if (this.#dirty.size === 0) return;
    this.#write(0);
    // From here on the file may refer to them, even if a write below fails.
    this.#unreferenced.clear();
    for (const stage of [1, 2] as const) {
      if (![...this.#dirty].some(slice => slice.stage === stage)) continue;
      this.#host.flush();
      this.#write(stage);
    }
  }

  #cached(offset: HostOffset): Cached {
    const start = plus(offset, -(offset % this.sliceBytes));
    const known = this.#slices.get(start);
    if (known !== undefined) {
      this.#slices.delete(start);
      this.#slices.set(start, known);
      return known;
    }
    this.#makeRoom();
    const bytes = this.#host.read(start, this.sliceBytes);
    const slice: Cached = { start, bytes, view: viewOf(bytes), stage: undefined, from: 0, to: 0 };
    this.#slices.set(start, slice);
    return slice;
  }

  #makeRoom(): void {
    if (this.#slices.size < this.#mostSlices) return;
    // The changes so far are consistent: callers write what they refer to before they refer to it.
    if (this.#dirty.size > this.#mostSlices / 2) this.commit();
    for (const [start, slice] of this.#slices) {
      if (slice.stage !== undefined) continue;
      this.#slices.delete(start);
      return;
    }
  }

  #changed(slice: Cached, from: number, length: number, stage: WriteStage): void {
    if (slice.stage === undefined) {
      slice.from = from;
      slice.to = from + length;
    } else {
      slice.from = Math.min(slice.from, from);
      slice.to = Math.max(slice.to, from + length);
    }
    const table = plus(slice.start, -(slice.start % this.#clusterSize));
    slice.stage = this.#unreferenced.has(table) ? 0 : stage;
    this.#dirty.add(slice);
  }

  #write(stage: WriteStage): void {
    const due = [...this.#dirty].filter(slice => slice.stage === stage);
    for (const slice of due.sort((a, b) => a.start - b.start)) {
      this.#host.write(plus(slice.start, slice.from), slice.bytes.slice(slice.from, slice.to));
      slice.stage = undefined;
      this.#dirty.delete(slice);
    }
  }

  #drop(start: HostOffset): void {
    const slice = this.#slices.get(start);
    if (slice === undefined) return;
    this.#dirty.delete(slice);
    this.#slices.delete(start);
  }
}
