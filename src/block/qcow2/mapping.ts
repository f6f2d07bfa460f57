/**
 * From guest clusters to what stands behind them: QEMU docs/interop/qcow2, "Cluster mapping".
 * @module
 */
import type { MetadataCache } from './cache.js';
import {
  dataEntry,
  isCopied,
  l1Entry,
  type Mapping,
  mappingOf,
  offsetOf,
  UNALLOCATED,
} from './entries.js';
import type { Faults } from './faults.js';
import type { Overlap } from './overlap.js';
import type { Refcounts } from './refcounts.js';
import { hex } from './text.js';
import { type GuestCluster, type HostOffset, plus } from './units.js';
import type { View } from './view.js';
import type { Word } from './words.js';

/** Reads the mapping. */
export class Mappings {
  protected readonly view: View;
  protected readonly cache: MetadataCache;
  protected readonly faults: Faults;

  constructor(view: View, cache: MetadataCache, faults: Faults) {
    this.view = view;
    this.cache = cache;
    this.faults = faults;
  }

  /** What stands behind a guest cluster. Copied holds only if its table is, too. */
  lookup(cluster: GuestCluster): Mapping {
    const { geometry, header } = this.view;
    const l1Index = this.l1Index(cluster);
    const l1 = this.cache.word(this.l1Offset(l1Index));
    const table = this.tableAt(l1, l1Index);
    if (table === 0) return UNALLOCATED;
    const index = cluster % geometry.l2Entries;
    const mapping = mappingOf(this.cache.word(plus(table, index * 8)), geometry.clusterBits);
    if (mapping.kind === 'zero' && header.version < 3) {
      this.faults.corrupt(`guest cluster ${cluster} has a zero flag, which version 2 has not`);
    }
    if (mapping.kind === 'unallocated' || mapping.kind === 'compressed') return mapping;
    if (geometry.into(mapping.offset) !== 0) {
      this.faults.corrupt(
        `cluster allocation offset ${hex(mapping.offset)} unaligned ` +
          `(L2 offset: ${hex(table)}, L2 index: ${index})`,
      );
    }
    return isCopied(l1) ? mapping : { ...mapping, copied: false };
  }

  /**
   * How many clusters from `cluster` on, at most `most`, are mapped to clusters of the file that are next
   * to each other, each with no other reference; at least 1. `offset` is where the first one is. They
   * are counted within a slice of the L2 table: most disks are one run, and a run is cheap to read.
   */
  runFrom(cluster: GuestCluster, offset: HostOffset, most: number): number {
    const { geometry } = this.view;
    const l1Index = this.l1Index(cluster);
    const table = this.tableAt(this.cache.word(this.l1Offset(l1Index)), l1Index);
    const entry = plus(table, (cluster % geometry.l2Entries) * 8);
    const { view, start } = this.cache.slice(entry);
    const at = entry - start;
    const end = Math.min(most, (view.byteLength - at) / 8);
    for (let i = 1; i < end; i += 1) {
      const { high, low } = dataEntry(plus(offset, geometry.bytesOf(i)));
      if (view.getUint32(at + i * 8) !== high || view.getUint32(at + i * 8 + 4) !== low) return i;
    }
    return Math.max(1, end);
  }

  /** How many clusters from an unallocated one on have none for the want of an L2 table; at least 1. */
  unallocatedFrom(cluster: GuestCluster): number {
    const l1Index = this.l1Index(cluster);
    const table = this.tableAt(this.cache.word(this.l1Offset(l1Index)), l1Index);
    const { l2Entries } = this.view.geometry;
    return table === 0 ? l2Entries - (cluster % l2Entries) : 1;
  }

  protected l1Index(cluster: GuestCluster): number {
    return Math.floor(cluster / this.view.geometry.l2Entries);
  }

  protected l1Offset(index: number): HostOffset {
    return plus(this.view.header.l1TableOffset, index * 8);
  }

  protected tableAt(l1: Word, index: number): HostOffset {
    const table = offsetOf(l1);
    if (this.view.geometry.into(table) !== 0) {
      this.faults.corrupt(`L2 table offset ${hex(table)} unaligned (L1 index: ${index})`);
    }
    return table;
  }
}

/** Reads and changes the mapping. */
export class Mapper extends Mappings {
  readonly #refcounts: Refcounts;
  readonly #overlap: Overlap;

  constructor(
    view: View,
    cache: MetadataCache,
    refcounts: Refcounts,
    overlap: Overlap,
    faults: Faults,
  ) {
    super(view, cache, faults);
    this.#refcounts = refcounts;
    this.#overlap = overlap;
  }

  /** Makes `word` the entry of a guest cluster, in a table that has no other reference. */
  set(cluster: GuestCluster, word: Word): void {
    const table = this.#ownTable(this.l1Index(cluster));
    this.#overlap.checkTable('an L2 table', table, 'an active L2 table');
    const index = cluster % this.view.geometry.l2Entries;
    this.cache.setWord(plus(table, index * 8), word, 2);
  }

  /** The L2 table for an L1 index, made or copied first where it is missing or shared. */
  #ownTable(l1Index: number): HostOffset {
    const at = this.l1Offset(l1Index);
    const l1 = this.cache.word(at);
    const old = this.tableAt(l1, l1Index);
    if (old !== 0 && isCopied(l1)) return old;

    const { geometry, host } = this.view;
    this.#overlap.check('an L1 entry', at, 8, 'the active L1 table');
    const run = this.#refcounts.allocate(1, 'an L2 table');
    const table = geometry.startOf(run.first);
    try {
      this.cache.newTable(table);
      // A shared table is never changed in place, so the file has all of it.
      if (old !== 0) host.write(table, host.read(old, geometry.clusterSize));
      this.cache.setWord(at, l1Entry(table), 2);
    } catch (error) {
      this.cache.forget(table);
      this.#refcounts.undo(run);
      throw error;
    }
    this.#overlap.addL2Table(run.first);
    if (old !== 0) {
      this.#refcounts.releaseLater({ first: geometry.clusterAt(old), count: 1 });
      this.#overlap.removeL2Table(geometry.clusterAt(old));
    }
    return table;
  }
}
