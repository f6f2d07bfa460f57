/**
 * The last line of defence against damaged metadata: nothing is written over a part of the file that
 * holds metadata of another kind. The same parts are watched as by QEMU's default
 * (overlap-check=cached): all but the L2 tables of snapshots.
 * @module
 */
import { equal } from '../../wire/codec.js';
import { bitmapDirectory } from './bitmaps.js';
import { ClusterSet } from './cluster-set.js';
import { offsetOf } from './entries.js';
import type { Faults } from './faults.js';
import { eachEntryIn } from './host.js';
import { hex } from './text.js';
import type { ClusterIndex, HostOffset } from './units.js';
import type { View } from './view.js';
import type { Word } from './words.js';

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

/** The clusters that a table of the file points to, and the start of the table as it was read. */
interface TargetsOfTable {
  readonly offset: HostOffset;
  readonly start: Uint8Array;
  readonly clusters: ClusterSet;
}

/** Larger tables are read again under each lock. */
const MOST_REMEMBERED_BYTES = 64 * 2 ** 10;

/** What is kept from one lock to the next, and compared with the file before it is used again. */
export interface OverlapMemory {
  readonly l2Tables: TargetsOfTable;
  readonly refcountBlocks: TargetsOfTable;
}

export class Overlap {
  readonly #view: View;
  readonly #faults: Faults;
  readonly #readOnly: boolean;
  readonly #remembered: OverlapMemory | undefined;
  #ranges: readonly Range[] = [];
  #targets: OverlapMemory | undefined;
  /** Whether the sets were changed since they were read. */
  #changed = false;
  /** Tables that were found to overlap with nothing: each is compared once. */
  readonly #sound = new Set<HostOffset>();

  /**
   * @param readOnly whether nothing is written, so that the file does not grow
   * @param remembered `memory` of the last lock of this image
   */
  constructor(view: View, faults: Faults, readOnly: boolean, remembered?: OverlapMemory) {
    this.#view = view;
    this.#faults = faults;
    this.#readOnly = readOnly;
    this.#remembered = remembered;
  }

  /** What the next lock can start from. */
  get memory(): OverlapMemory | undefined {
    return this.#changed ? undefined : (this.#targets ?? this.#remembered);
  }

  /** Reads the tables from the file, unless that was done. To be called while nothing is held back. */
  prepare(): void {
    if (this.#targets !== undefined) return;
    const { header, geometry, host } = this.#view;
    const { l1TableOffset, l1Size, refcountTableOffset, refcountTableClusters } = header;
    // Only these entries of the refcount table are in use while the file does not grow.
    const inUse = Math.ceil(geometry.clustersFor(host.length) / geometry.refcountsPerBlock);
    const tableBytes = geometry.bytesOf(refcountTableClusters);
    const usedBytes = Math.min(inUse * 8, tableBytes);
    const known = this.#remembered;
    this.#targets = {
      l2Tables: this.#targetsOf(l1TableOffset, l1Size * 8, l1Size * 8, known?.l2Tables),
      refcountBlocks: this.#targetsOf(
        refcountTableOffset,
        this.#readOnly ? usedBytes : tableBytes,
        usedBytes,
        known?.refcountBlocks,
      ),
    };
    this.#ranges = this.#readRanges();
  }

  /** The same after a table was moved. */
  rebuild(): void {
    this.forget();
    this.prepare();
  }

  /** Drops what was read: the metadata was changed directly. */
  forget(): void {
    this.#sound.clear();
    this.#targets = undefined;
  }

  addL2Table(cluster: ClusterIndex): void {
    this.#changed = true;
    this.#targets?.l2Tables.clusters.add(cluster);
  }

  removeL2Table(cluster: ClusterIndex): void {
    this.#changed = true;
    this.#sound.delete(this.#view.geometry.startOf(cluster));
    this.#targets?.l2Tables.clusters.delete(cluster);
  }

  addRefcountBlock(cluster: ClusterIndex): void {
    this.#changed = true;
    this.#targets?.refcountBlocks.clusters.add(cluster);
  }

  /**
   * Stops a write that would hit metadata of another kind than `own`.
   * @throws ImageError DAMAGED
   */
  check(what: string, offset: HostOffset, length: number, own?: Section): void {
    const hit = this.#find(offset, length, own);
    if (hit === undefined) return;
    this.#faults.corrupt(
      `a write of ${what} at ${hex(offset)} was stopped: it overlaps with ${hit}`,
    );
  }

  /** The metadata that bytes of the file overlap with, if any. */
  sectionAt(offset: HostOffset, length: number): Section | undefined {
    return this.#find(offset, length, undefined);
  }

  /** Stops a change of a table, of one cluster at `offset`, that overlaps with another kind. */
  checkTable(what: string, offset: HostOffset, own: Section): void {
    if (this.#sound.has(offset)) return;
    this.check(what, offset, this.#view.geometry.clusterSize, own);
    this.#sound.add(offset);
  }

  #find(offset: HostOffset, length: number, own: Section | undefined): Section | undefined {
    this.prepare();
    const { l2Tables, refcountBlocks } = this.#targets!;
    const end = offset + length;
    for (const { section, start, end: rangeEnd } of this.#ranges) {
      if (section !== own && offset < rangeEnd && start < end) return section;
    }
    const { first, count } = this.#view.geometry.runOf(offset, length);
    if (own !== 'an active L2 table' && l2Tables.clusters.hasAny(first, count)) {
      return 'an active L2 table';
    }
    if (own !== 'a refcount block' && refcountBlocks.clusters.hasAny(first, count)) {
      return 'a refcount block';
    }
    return undefined;
  }

  #readRanges(): Range[] {
    const { header, geometry, snapshots } = this.#view;
    const range = (section: Section, start: number, length: number): Range => ({
      section,
      start,
      end: start + length,
    });
    const tableBytes = geometry.bytesOf(header.refcountTableClusters);
    const directory = bitmapDirectory(this.#view);
    return [
      range('the image header', 0, geometry.clusterSize),
      range('the active L1 table', header.l1TableOffset, header.l1Size * 8),
      range('the refcount table', header.refcountTableOffset, tableBytes),
      range('the snapshot table', header.snapshotsOffset, snapshots.length),
      ...snapshots.snapshots.map(each =>
        range('an inactive L1 table', each.l1TableOffset, each.l1Size * 8),
      ),
      range('the bitmap directory', directory?.offset ?? 0, directory?.length ?? 0),
    ].filter(({ start, end }) => end > start);
  }

  /** @param compared how many bytes of the table tell whether it is the one that is known */
  #targetsOf(
    offset: HostOffset,
    length: number,
    compared: number,
    known: TargetsOfTable | undefined,
  ): TargetsOfTable {
    const { host, geometry } = this.#view;
    const start = host.read(offset, Math.min(compared, MOST_REMEMBERED_BYTES));
    const isKnown = known?.offset === offset && compared <= MOST_REMEMBERED_BYTES;
    if (isKnown && equal(known.start, start)) return known;
    const found: ClusterIndex[] = [];
    const add = (_: number, word: Word): void => {
      const target = offsetOf(word);
      if (target !== 0) found.push(geometry.clusterAt(target));
    };
    if (start.length === length) eachEntryIn(start, add);
    else host.eachEntry(offset, length, add);
    return { offset, start, clusters: new ClusterSet(found) };
  }
}
