/**
 * From guest clusters to what stands behind them: QEMU docs/interop/qcow2, "Cluster mapping".
 * @module
 */
import { isCopied, l1Entry, type Mapping, mappingOf, offsetOf } from './entries.js';
import type { Image } from './image.js';
import type { Refcounts } from './refcounts.js';
import type { Word } from './words.js';

const UNALLOCATED: Mapping = { kind: 'unallocated' };

export class Mapper {
  readonly #image: Image;
  readonly #refcounts: Refcounts;

  constructor(image: Image, refcounts: Refcounts) {
    this.#image = image;
    this.#refcounts = refcounts;
  }

  /** What stands behind guest cluster number `cluster`. Copied holds only if its table is, too. */
  lookup(cluster: number): Mapping {
    const { geometry, cache, header } = this.#image;
    const { l2Entries, clusterBits } = geometry;
    const l1Index = Math.floor(cluster / l2Entries);
    const l1 = cache.word(header.l1TableOffset + l1Index * 8);
    const table = this.#tableAt(l1, l1Index);
    if (table === 0) return UNALLOCATED;
    const index = cluster % l2Entries;
    const mapping = mappingOf(cache.word(table + index * 8), clusterBits);
    if (mapping.kind === 'zero' && header.version < 3) {
      this.#image.corrupt(`guest cluster ${cluster} has a zero flag, which version 2 has not`);
    }
    if (mapping.kind === 'unallocated' || mapping.kind === 'compressed') return mapping;
    if (mapping.offset % geometry.clusterSize !== 0) {
      this.#image.corrupt(
        `cluster allocation offset 0x${mapping.offset.toString(16)} unaligned ` +
          `(L2 offset: 0x${table.toString(16)}, L2 index: ${index})`,
      );
    }
    return isCopied(l1) ? mapping : { ...mapping, copied: false };
  }

  /** Makes `word` the entry of a guest cluster, in a table of which nobody else has a share. */
  set(cluster: number, word: Word): void {
    const { l2Entries } = this.#image.geometry;
    const table = this.#ownTable(Math.floor(cluster / l2Entries));
    this.#image.overlap.checkTable('an L2 table', table, 'an active L2 table');
    this.#image.cache.setWord(table + (cluster % l2Entries) * 8, word, 2);
  }

  /** The L2 table for an L1 index, made or copied first where it is missing or shared. */
  #ownTable(l1Index: number): number {
    const { geometry, cache, header, host, overlap } = this.#image;
    const at = header.l1TableOffset + l1Index * 8;
    const l1 = cache.word(at);
    const old = this.#tableAt(l1, l1Index);
    if (old !== 0 && isCopied(l1)) return old;

    const { first } = this.#refcounts.allocate(1, 'an L2 table');
    const table = first * geometry.clusterSize;
    cache.newTable(table);
    if (old !== 0) {
      // A shared table is never changed in place, so the file has all of it.
      host.write(table, host.read(old, geometry.clusterSize));
      this.#refcounts.releaseLater(old / geometry.clusterSize);
      overlap.removeL2Table(old / geometry.clusterSize);
    }
    overlap.check('an L1 entry', at, 8, 'the active L1 table');
    cache.setWord(at, l1Entry(table), 2);
    overlap.addL2Table(first);
    return table;
  }

  #tableAt(l1: Word, index: number): number {
    const table = offsetOf(l1);
    if (table % this.#image.geometry.clusterSize !== 0) {
      this.#image.corrupt(`L2 table offset 0x${table.toString(16)} unaligned (L1 index: ${index})`);
    }
    return table;
  }
}
