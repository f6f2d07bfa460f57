/**
 * Refcounts and the allocation of clusters: QEMU docs/interop/qcow2, "Host cluster management". A
 * cluster is raised from 0 before anything refers to it, and lowered after nothing does.
 *
 * An allocation that fails leaves nothing behind that a later one could take for metadata: what it
 * registered elsewhere (cache, overlap map) is registered last, or undone.
 * @module
 */
import assert from 'node:assert/strict';
import { ImageError } from '../node.js';
import type { MetadataCache } from './cache.js';
import type { Faults } from './faults.js';
import type { HeaderWriter } from './header-writer.js';
import type { Overlap } from './overlap.js';
import { type Width, widthOf } from './refcount-width.js';
import { hex } from './text.js';
import { type ClusterIndex, clusterIndex, type HostOffset, plus, type Run } from './units.js';
import type { View } from './view.js';
import { blockOffset, viewOf, wordOf } from './words.js';

const LARGEST_TABLE_BYTES = 8 * 2 ** 20;

export class Refcounts {
  readonly #view: View;
  readonly #cache: MetadataCache;
  readonly #overlap: Overlap;
  readonly #faults: Faults;
  readonly #headerWriter: HeaderWriter;
  /** No cluster below it is likely to be free. Only a guess: every count is looked up. */
  #hint = clusterIndex(0);
  /** Clusters to lower once the mapping without them is durable. */
  #later: ClusterIndex[] = [];

  constructor(
    view: View,
    cache: MetadataCache,
    overlap: Overlap,
    faults: Faults,
    headerWriter: HeaderWriter,
  ) {
    this.#view = view;
    this.#cache = cache;
    this.#overlap = overlap;
    this.#faults = faults;
    this.#headerWriter = headerWriter;
  }

  /** How many references `cluster` has, by the image's own account. */
  get(cluster: ClusterIndex): number {
    const block = this.#blockOf(cluster);
    return block === undefined ? 0 : this.#countIn(block, cluster);
  }

  /** Like get(), but undefined where the image does not let it be read. For checks. */
  peek(cluster: ClusterIndex): number | undefined {
    const block = this.#blockEntry(this.#entryOf(cluster));
    if (this.#view.geometry.into(block) !== 0) return undefined;
    return block === 0 ? 0 : this.#countIn(block, cluster);
  }

  /** The offset of the refcount block number `entry`, if there is one that can be used. */
  blockAt(entry: number): HostOffset | undefined {
    const block = this.#blockEntry(entry);
    return block === 0 || this.#view.geometry.into(block) !== 0 ? undefined : block;
  }

  /**
   * Allocates free clusters next to each other: `most` of them, or fewer unless `exactly` is asked
   * for. Their bytes are not changed.
   * @param what for, as messages say it
   * @throws ImageError DAMAGED, UNSUPPORTED; IoError
   */
  allocate(most: number, what: string, exactly = false): Run {
    assert(most > 0);
    const { geometry } = this.#view;
    let first = this.#findFree(this.#hint);
    for (;;) {
      let count = 1;
      while (count < most && this.get(plus(first, count)) === 0) count += 1;
      const blocked = this.#describe(first, count);
      if (blocked !== undefined) {
        // A refcount block had to go where the clusters were to lie.
        first = this.#findFree(blocked);
      } else if (count === most || !exactly) {
        this.#overlap.check(what, geometry.startOf(first), geometry.bytesOf(count));
        this.#raise({ first, count });
        this.#hint = plus(first, count);
        return { first, count };
      } else {
        first = this.#findFree(plus(first, count));
      }
    }
  }

  /** Lowers clusters that nothing on the disk refers to. */
  release({ first, count }: Run): void {
    for (let i = 0; i < count; i += 1) this.#lower(plus(first, i));
  }

  /**
   * Lowers clusters that nothing on the disk refers to, after a failure: the failure is what matters,
   * and clusters that cannot be lowered either are leaked.
   */
  undo(run: Run): void {
    try {
      this.release(run);
    } catch {
      // Leaked.
    }
  }

  /** Lowers clusters after the next flush of the mapping that no longer refers to them. */
  releaseLater({ first, count }: Run): void {
    for (let i = 0; i < count; i += 1) this.#later.push(plus(first, i));
  }

  get waiting(): boolean {
    return this.#later.length > 0;
  }

  /** The mapping is durable: lowers what waited for that. */
  lowerWaiting(): void {
    const due = this.#later;
    this.#later = [];
    for (const cluster of due) this.#lower(cluster);
  }

  /** Drops what was remembered of the image: its metadata was changed directly. */
  forget(): void {
    this.#later = [];
    this.#hint = clusterIndex(0);
  }

  get #width(): Width {
    return widthOf(this.#view.geometry.refcountOrder);
  }

  get #tableEntries(): number {
    return this.#view.geometry.bytesOf(this.#view.header.refcountTableClusters) / 8;
  }

  #entryOf(cluster: ClusterIndex): number {
    return Math.floor(cluster / this.#view.geometry.refcountsPerBlock);
  }

  #entryOffset(entry: number): HostOffset {
    return plus(this.#view.header.refcountTableOffset, entry * 8);
  }

  /** What the refcount table says, be it an offset that can be used or not. */
  #blockEntry(entry: number): HostOffset {
    if (entry >= this.#tableEntries) return 0 as HostOffset;
    return blockOffset(this.#cache.word(this.#entryOffset(entry)));
  }

  /** The offset of the refcount block for `cluster`, or undefined where all its counts are 0. */
  #blockOf(cluster: ClusterIndex): HostOffset | undefined {
    const entry = this.#entryOf(cluster);
    const offset = this.#blockEntry(entry);
    if (this.#view.geometry.into(offset) !== 0) {
      this.#faults.corrupt(
        `refcount block offset ${hex(offset)} unaligned (refcount table index ${entry})`,
      );
    }
    return offset === 0 ? undefined : offset;
  }

  #raise({ first, count }: Run): void {
    let done = 0;
    try {
      for (; done < count; done += 1) this.#set(plus(first, done), 1);
    } catch (error) {
      this.undo({ first, count: done });
      throw error;
    }
  }

  #lower(cluster: ClusterIndex): void {
    const count = this.get(cluster);
    // Damaged before: there is nothing to lower, and a check reports it.
    if (count === 0) return;
    this.#set(cluster, count - 1);
    if (count > 1) return;
    this.#cache.forget(this.#view.geometry.startOf(cluster));
    this.#hint = clusterIndex(Math.min(this.#hint, cluster));
  }

  #set(cluster: ClusterIndex, value: number): void {
    const block = this.#blockOf(cluster);
    assert(block !== undefined, 'the cluster has a refcount block');
    this.#overlap.checkTable('a refcount', block, 'a refcount block');
    this.#setIn(block, cluster, value);
  }

  #countIn(block: HostOffset, cluster: ClusterIndex): number {
    const { slice, index } = this.#place(block, cluster);
    return this.#width.get(this.#cache.slice(slice).view, index);
  }

  #setIn(block: HostOffset, cluster: ClusterIndex, value: number): void {
    const { slice, index } = this.#place(block, cluster);
    this.#width.set(this.#cache.slice(slice).view, index, value);
    const bits = 2 ** this.#view.geometry.refcountOrder;
    this.#cache.changed(plus(slice, Math.floor((index * bits) / 8)), Math.ceil(bits / 8), 0);
  }

  /** The slice that holds the count of a cluster in its block, and the index within that slice. */
  #place(block: HostOffset, cluster: ClusterIndex): { slice: HostOffset; index: number } {
    const { refcountsPerBlock, refcountOrder } = this.#view.geometry;
    const { sliceBytes } = this.#cache;
    const index = cluster % refcountsPerBlock;
    const perSlice = (sliceBytes * 8) / 2 ** refcountOrder;
    const slice = plus(block, Math.floor(index / perSlice) * sliceBytes);
    return { slice, index: index % perSlice };
  }

  #findFree(from: ClusterIndex): ClusterIndex {
    let cluster = from;
    while (this.get(cluster) !== 0) cluster = plus(cluster, 1);
    if (cluster === 0) this.#faults.corrupt('the header is not counted as in use');
    return cluster;
  }

  /**
   * Makes sure that refcount blocks describe these free clusters. A missing block is put on the
   * first of the clusters that it describes, so it counts itself.
   * @returns where to look for free clusters again, if one of them is not free any more
   */
  #describe(first: ClusterIndex, count: number): ClusterIndex | undefined {
    for (let i = 0; i < count; i += 1) {
      const cluster = plus(first, i);
      if (this.#blockOf(cluster) !== undefined) continue;
      const entry = this.#entryOf(cluster);
      if (entry >= this.#tableEntries) {
        this.#growTable(entry);
        return first;
      }
      this.#addBlock(cluster, entry);
      return i === 0 ? plus(cluster, 1) : first;
    }
    return undefined;
  }

  #addBlock(cluster: ClusterIndex, entry: number): void {
    const { geometry } = this.#view;
    const block = geometry.startOf(cluster);
    const at = this.#entryOffset(entry);
    this.#overlap.check('a new refcount block', block, geometry.clusterSize);
    this.#overlap.check('an entry of the refcount table', at, 8, 'the refcount table');
    try {
      this.#cache.newTable(block);
      // Counted before it counts: the cache may have to write between any two changes.
      this.#setIn(block, cluster, 1);
      this.#cache.setWord(at, wordOf(block), 1);
    } catch (error) {
      this.#cache.forget(block);
      throw error;
    }
    this.#overlap.addRefcountBlock(cluster);
  }

  /**
   * Moves the refcount table to a bigger place, behind everything that the old one could describe.
   * The new table comes with the blocks that count it, all of it durable before the header says so.
   */
  #growTable(entry: number): void {
    const { geometry, header, host } = this.#view;
    const oldEntries = this.#tableEntries;
    const { blocks, tableClusters } = this.#sizeOfNewTable(entry);
    this.#headerWriter.commitAndFlush();

    const base = clusterIndex(oldEntries * geometry.refcountsPerBlock);
    const area = blocks + tableClusters;
    this.#overlap.check('a new refcount table', geometry.startOf(base), geometry.bytesOf(area));
    for (let i = 0; i < area; i += 1) this.#cache.forget(geometry.startOf(plus(base, i)));
    const table = new Uint8Array(geometry.bytesOf(tableClusters));
    table.set(host.read(header.refcountTableOffset, oldEntries * 8));
    const view = viewOf(table);
    for (let i = 0; i < blocks; i += 1) {
      const block = geometry.startOf(plus(base, i));
      view.setBigUint64((oldEntries + i) * 8, BigInt(block));
      const used = Math.min(geometry.refcountsPerBlock, area - i * geometry.refcountsPerBlock);
      host.write(block, this.#blockOfOnes(used));
    }
    const refcountTableOffset = geometry.startOf(plus(base, blocks));
    host.write(refcountTableOffset, table);
    const old: Run = {
      first: geometry.clusterAt(header.refcountTableOffset),
      count: header.refcountTableClusters,
    };
    this.#headerWriter.rewrite({ refcountTableOffset, refcountTableClusters: tableClusters });
    this.#overlap.rebuild();
    this.release(old);
  }

  /** How many clusters a table with the entry takes, and how many blocks count these and themselves. */
  #sizeOfNewTable(entry: number): { blocks: number; tableClusters: number } {
    const { geometry, path } = this.#view;
    const { refcountsPerBlock } = geometry;
    const blocksFor = (table: number): number => {
      let blocks = 1;
      while (blocks * refcountsPerBlock < blocks + table) blocks += 1;
      return blocks;
    };
    const oldEntries = this.#tableEntries;
    let tableClusters = geometry.clustersFor(Math.max(entry + 2, oldEntries * 2) * 8);
    while (oldEntries + blocksFor(tableClusters) > geometry.bytesOf(tableClusters) / 8) {
      tableClusters += 1;
    }
    if (geometry.bytesOf(tableClusters) > LARGEST_TABLE_BYTES) {
      throw new ImageError('UNSUPPORTED', path, [
        'the file would need a refcount table of more than 8 MiB',
      ]);
    }
    return { blocks: blocksFor(tableClusters), tableClusters };
  }

  /** A refcount block whose first clusters have one reference each. */
  #blockOfOnes(used: number): Uint8Array {
    const bytes = new Uint8Array(this.#view.geometry.clusterSize);
    const view = viewOf(bytes);
    for (let index = 0; index < used; index += 1) this.#width.set(view, index, 1);
    return bytes;
  }
}
