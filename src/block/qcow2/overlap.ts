/**
 * The last line of defence against damaged metadata: nothing is written over a part of the file
 * that holds metadata of another kind. The same parts are watched as by QEMU's default
 * (overlap-check=cached): all but the L2 tables of snapshots.
 * @module
 */
import { bitmapDirectory } from './bitmaps.js';
import { offsetOf } from './entries.js';
import type { Image } from './image.js';
import { readWord } from './words.js';

// biome-ignore format: table
export type Section =
  | 'the image header'
  | 'the active L1 table'
  | 'an active L2 table'
  | 'the refcount table'
  | 'a refcount block'
  | 'the snapshot table'
  | 'an inactive L1 table'
  | 'the bitmap directory';

interface Range {
  readonly section: Section;
  readonly start: number;
  readonly end: number;
}

interface Map {
  readonly ranges: readonly Range[];
  readonly l2Tables: ClusterSet;
  readonly refcountBlocks: ClusterSet;
}

export class Overlap {
  readonly #image: Image;
  #map: Map | undefined;
  /** Tables that were found to overlap with nothing: each is looked at once. */
  readonly #sound = new Set<number>();

  constructor(image: Image) {
    this.#image = image;
  }

  /** Looks at the tables as they are in the file. To be called while nothing is held back. */
  rebuild(): void {
    this.#sound.clear();
    this.#map = this.#read();
  }

  /** Makes sure that there is something to compare with. */
  prepare(): void {
    if (this.#map === undefined) this.rebuild();
  }

  /** Another process may have moved what we remember. */
  forget(): void {
    this.#sound.clear();
    this.#map = undefined;
  }

  addL2Table(cluster: number): void {
    this.#map?.l2Tables.add(cluster);
  }

  removeL2Table(cluster: number): void {
    this.#sound.delete(cluster * this.#image.geometry.clusterSize);
    this.#map?.l2Tables.remove(cluster);
  }

  addRefcountBlock(cluster: number): void {
    this.#map?.refcountBlocks.add(cluster);
  }

  /**
   * Stops a write that would hit metadata of another kind than `own`.
   * @throws ImageError CORRUPT
   */
  check(what: string, offset: number, length: number, own?: Section): void {
    const hit = this.#find(offset, length, own);
    if (hit === undefined) return;
    this.#image.corrupt(
      `a write of ${what} at 0x${offset.toString(16)} was stopped: it overlaps with ${hit}`,
    );
  }

  /** Stops a change of a table, of one cluster at `offset`, that lies over another kind. */
  checkTable(what: string, offset: number, own: Section): void {
    if (this.#sound.has(offset)) return;
    this.check(what, offset, this.#image.geometry.clusterSize, own);
    this.#sound.add(offset);
  }

  #find(offset: number, length: number, own: Section | undefined): Section | undefined {
    this.prepare();
    const { ranges, l2Tables, refcountBlocks } = this.#map!;
    const { clusterSize } = this.#image.geometry;
    const end = offset + length;
    for (const { section, start, end: rangeEnd } of ranges) {
      if (section !== own && offset < rangeEnd && start < end) return section;
    }
    const first = Math.floor(offset / clusterSize);
    for (let cluster = first; cluster * clusterSize < end; cluster += 1) {
      if (own !== 'an active L2 table' && l2Tables.has(cluster)) return 'an active L2 table';
      if (own !== 'a refcount block' && refcountBlocks.has(cluster)) return 'a refcount block';
    }
    return undefined;
  }

  #read(): Map {
    const { header, geometry, snapshots } = this.#image;
    const { clusterSize } = geometry;
    const tableBytes = header.refcountTableClusters * clusterSize;
    const range = (section: Section, start: number, length: number): Range => ({
      section,
      start,
      end: start + length,
    });
    const ranges = [
      range('the image header', 0, clusterSize),
      range('the active L1 table', header.l1TableOffset, header.l1Size * 8),
      range('the refcount table', header.refcountTableOffset, tableBytes),
      range('the snapshot table', header.snapshotsOffset, snapshots.length),
      ...snapshots.snapshots.map(each =>
        range('an inactive L1 table', each.l1TableOffset, each.l1Size * 8),
      ),
    ];
    const directory = bitmapDirectory(this.#image);
    if (directory !== undefined) {
      ranges.push(range('the bitmap directory', directory.offset, directory.length));
    }
    return {
      ranges: ranges.filter(({ start, end }) => end > start),
      l2Tables: this.#clustersIn(header.l1TableOffset, header.l1Size),
      refcountBlocks: this.#clustersIn(header.refcountTableOffset, tableBytes / 8),
    };
  }

  /** The clusters that a table of `entries` words at `offset` points to. */
  #clustersIn(offset: number, entries: number): ClusterSet {
    const { host, geometry } = this.#image;
    const there = Math.max(0, Math.min(entries * 8, host.node.length - offset));
    const found: number[] = [];
    for (let at = 0; at < there; at += CHUNK_BYTES) {
      const bytes = host.read(offset + at, Math.min(CHUNK_BYTES, there - at));
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = 0; i + 8 <= bytes.length; i += 8) {
        const target = offsetOf(readWord(view, i));
        if (target !== 0) found.push(Math.floor(target / geometry.clusterSize));
      }
    }
    return new ClusterSet(found);
  }
}

const CHUNK_BYTES = 64 * 2 ** 10;

/** Cluster numbers, eight bytes each: a Set of as many numbers takes five times that. */
class ClusterSet {
  readonly #sorted: Float64Array;
  readonly #added = new Set<number>();
  readonly #removed = new Set<number>();

  constructor(clusters: readonly number[]) {
    this.#sorted = Float64Array.from(clusters).sort();
  }

  add(cluster: number): void {
    this.#removed.delete(cluster);
    this.#added.add(cluster);
  }

  remove(cluster: number): void {
    this.#added.delete(cluster);
    this.#removed.add(cluster);
  }

  has(cluster: number): boolean {
    if (this.#added.has(cluster)) return true;
    let from = 0;
    let to = this.#sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#sorted[middle]! < cluster) from = middle + 1;
      else to = middle;
    }
    return this.#sorted[from] === cluster && !this.#removed.has(cluster);
  }
}
