/**
 * Refcounts and the allocation of clusters: QEMU docs/interop/qcow2, "Host cluster management". A
 * cluster is raised from 0 before anything refers to it, and lowered after nothing does.
 * @module
 */
import assert from 'node:assert/strict';
import { ImageError } from '../node.js';
import type { Image } from './image.js';
import { WIDTHS } from './refcount-width.js';
import { blockOffset, wordOf } from './words.js';

/** Clusters next to each other, counted from the start of the file. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

export class Refcounts {
  readonly #image: Image;
  /** No cluster below it is likely to be free. Only a guess: every count is looked up. */
  #hint = 0;
  /** Clusters to lower once the mapping that lets go of them is durable. */
  #later: number[] = [];

  constructor(image: Image) {
    this.#image = image;
  }

  /** How many references `cluster` has, by the image's own account. */
  get(cluster: number): number {
    const block = this.#blockOf(cluster);
    if (block === undefined) return 0;
    const { geometry, cache } = this.#image;
    const { offset, index } = this.#place(block, cluster % geometry.refcountsPerBlock);
    return WIDTHS[geometry.refcountOrder]!.get(cache.slice(offset).view, index);
  }

  /**
   * Takes free clusters, next to each other: `most` of them, or fewer where `exactly` is not asked
   * for. Their bytes are not changed.
   * @param what for, as messages say it
   * @throws ImageError CORRUPT
   */
  allocate(most: number, what: string, exactly = false): Run {
    assert(most > 0);
    const { clusterSize } = this.#image.geometry;
    let first = this.#findFree(this.#hint);
    for (;;) {
      let count = 1;
      while (count < most && this.get(first + count) === 0) count += 1;
      const blocked = this.#describe(first, count);
      if (blocked !== undefined) {
        // A refcount block had to go where the clusters were to lie.
        first = this.#findFree(blocked);
      } else if (count === most || !exactly) {
        this.#image.overlap.check(what, first * clusterSize, count * clusterSize);
        this.#hint = first + count;
        for (let i = 0; i < count; i += 1) this.#set(first + i, 1);
        return { first, count };
      } else {
        first = this.#findFree(first + count);
      }
    }
  }

  /** Lowers clusters that nothing on the disk refers to. */
  release({ first, count }: Run): void {
    for (let cluster = first; cluster < first + count; cluster += 1) this.#lower(cluster);
  }

  /** Lowers a cluster after the next flush of the mapping that lets go of it. */
  releaseLater(cluster: number): void {
    this.#later.push(cluster);
  }

  /** Drops what waits to be lowered, which leaks it. */
  forget(): void {
    this.#later = [];
    this.#hint = 0;
  }

  get waiting(): boolean {
    return this.#later.length > 0;
  }

  /** The mapping is durable now: lowers what waited for that. */
  lowerWaiting(): void {
    const due = this.#later;
    this.#later = [];
    for (const cluster of due) this.#lower(cluster);
  }

  #lower(cluster: number): void {
    const { cache, geometry } = this.#image;
    const count = this.get(cluster);
    // Damaged before us. There is nothing to lower, and a check tells of it.
    if (count === 0) return;
    this.#set(cluster, count - 1);
    if (count > 1) return;
    cache.forget(cluster * geometry.clusterSize);
    this.#hint = Math.min(this.#hint, cluster);
  }

  #set(cluster: number, value: number): void {
    const block = this.#blockOf(cluster);
    assert(block !== undefined, 'the cluster has a refcount block');
    this.#image.overlap.checkTable('a refcount', block, 'a refcount block');
    this.#setIn(block, cluster, value);
  }

  #setIn(block: number, cluster: number, value: number): void {
    const { geometry, cache } = this.#image;
    const { offset, index } = this.#place(block, cluster % geometry.refcountsPerBlock);
    WIDTHS[geometry.refcountOrder]!.set(cache.slice(offset).view, index, value);
    const bits = 2 ** geometry.refcountOrder;
    const at = offset + Math.floor((index * bits) / 8);
    cache.changed(at, Math.ceil(bits / 8), 0);
  }

  /** The slice that holds entry `index` of a block, and the index within that slice. */
  #place(block: number, index: number): { offset: number; index: number } {
    const { cache, geometry } = this.#image;
    const perSlice = (cache.sliceBytes * 8) / 2 ** geometry.refcountOrder;
    const slice = Math.floor(index / perSlice);
    return { offset: block + slice * cache.sliceBytes, index: index % perSlice };
  }

  /** Like get(), but undefined where the image does not let it be read. For checks. */
  peek(cluster: number): number | undefined {
    const { geometry } = this.#image;
    const entry = Math.floor(cluster / geometry.refcountsPerBlock);
    const block = this.#blockEntry(entry);
    return block % geometry.clusterSize === 0 ? this.get(cluster) : undefined;
  }

  /** The offset of the refcount block number `entry`, if there is one that can be used. */
  blockAt(entry: number): number | undefined {
    const block = this.#blockEntry(entry);
    return block === 0 || block % this.#image.geometry.clusterSize !== 0 ? undefined : block;
  }

  /** What the refcount table says, be it an offset that can be used or not. */
  #blockEntry(entry: number): number {
    const { cache, header } = this.#image;
    if (entry >= this.#tableEntries) return 0;
    return blockOffset(cache.word(header.refcountTableOffset + entry * 8));
  }

  /** The offset of the refcount block for `cluster`, or undefined where all its counts are 0. */
  #blockOf(cluster: number): number | undefined {
    const { geometry } = this.#image;
    const entry = Math.floor(cluster / geometry.refcountsPerBlock);
    const offset = this.#blockEntry(entry);
    if (offset % geometry.clusterSize !== 0) {
      this.#image.corrupt(
        `refcount block offset 0x${offset.toString(16)} unaligned (refcount table index ${entry})`,
      );
    }
    return offset === 0 ? undefined : offset;
  }

  get #tableEntries(): number {
    const { header, geometry } = this.#image;
    return (header.refcountTableClusters * geometry.clusterSize) / 8;
  }

  #findFree(from: number): number {
    let cluster = from;
    while (this.get(cluster) !== 0) cluster += 1;
    if (cluster === 0) this.#image.corrupt('the header is not counted as in use');
    return cluster;
  }

  /**
   * Makes sure that refcount blocks describe these free clusters. A missing block is put on the
   * first of the clusters that it describes, so it counts itself.
   * @returns where to look for free clusters again, if one of them is not free any more
   */
  #describe(first: number, count: number): number | undefined {
    const { geometry, cache, header, overlap } = this.#image;
    for (let cluster = first; cluster < first + count; cluster += 1) {
      if (this.#blockOf(cluster) !== undefined) continue;
      const entry = Math.floor(cluster / geometry.refcountsPerBlock);
      if (entry >= this.#tableEntries) {
        this.#growTable(entry);
        return first;
      }
      const block = cluster * geometry.clusterSize;
      const at = header.refcountTableOffset + entry * 8;
      overlap.check('a new refcount block', block, geometry.clusterSize);
      overlap.check('an entry of the refcount table', at, 8, 'the refcount table');
      cache.newTable(block);
      // Counted before it counts: the cache may have to write between any two changes.
      this.#setIn(block, cluster, 1);
      cache.setWord(at, wordOf(block), 1);
      // Last: an allocation that failed before this point has put nothing there.
      overlap.addRefcountBlock(cluster);
      return cluster === first ? cluster + 1 : first;
    }
    return undefined;
  }

  /**
   * Moves the refcount table to a bigger place, behind everything that the old one could describe.
   * The new table comes with the blocks that count it, all of it durable before the header says so.
   */
  #growTable(entry: number): void {
    const { geometry, cache, header, host, overlap } = this.#image;
    const { clusterSize, refcountsPerBlock } = geometry;
    const oldEntries = this.#tableEntries;
    const wanted = Math.max(entry + 2, oldEntries * 2);
    let tableClusters = Math.ceil((wanted * 8) / clusterSize);
    const blocksFor = (table: number): number => {
      let blocks = 1;
      while (blocks * refcountsPerBlock < blocks + table) blocks += 1;
      return blocks;
    };
    while (oldEntries + blocksFor(tableClusters) > (tableClusters * clusterSize) / 8) {
      tableClusters += 1;
    }
    const blocks = blocksFor(tableClusters);
    if (tableClusters * clusterSize > 8 * 2 ** 20) {
      throw new ImageError('UNSUPPORTED', this.#image.path, [
        'the file would need a refcount table of more than 8 MiB',
      ]);
    }
    cache.commit();
    host.flush();

    const base = oldEntries * refcountsPerBlock;
    const newClusters = blocks + tableClusters;
    overlap.check('a new refcount table', base * clusterSize, newClusters * clusterSize);
    const table = new Uint8Array(tableClusters * clusterSize);
    table.set(host.read(header.refcountTableOffset, oldEntries * 8));
    const view = new DataView(table.buffer);
    const width = WIDTHS[geometry.refcountOrder]!;
    for (let i = 0; i < blocks; i += 1) {
      view.setBigUint64((oldEntries + i) * 8, BigInt((base + i) * clusterSize));
      const counts = new DataView(new ArrayBuffer(clusterSize));
      const used = Math.min(refcountsPerBlock, blocks + tableClusters - i * refcountsPerBlock);
      for (let index = 0; index < used; index += 1) width.set(counts, index, 1);
      cache.forget((base + i) * clusterSize);
      host.write((base + i) * clusterSize, new Uint8Array(counts.buffer));
    }
    const offset = (base + blocks) * clusterSize;
    for (let i = 0; i < tableClusters; i += 1) cache.forget(offset + i * clusterSize);
    host.write(offset, table);
    const old = {
      first: header.refcountTableOffset / clusterSize,
      count: header.refcountTableClusters,
    };
    this.#image.rewriteHeader({
      refcountTableOffset: offset,
      refcountTableClusters: tableClusters,
    });
    overlap.rebuild();
    this.release(old);
  }
}
