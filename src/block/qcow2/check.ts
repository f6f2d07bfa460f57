/**
 * The check of an image: every reference is counted and compared with the refcounts, with the verdicts
 * and the counts of `qemu-img check`. Only references are examined, not the data.
 * @module
 */
import { bitmapClusters } from './bitmaps.js';
import {
  isCompressed,
  isCopied,
  isPlaced,
  l1Reserved,
  l2Reserved,
  mappingOf,
  offsetOf,
} from './entries.js';
import { widthOf } from './refcount-width.js';
import type { Refcounts } from './refcounts.js';
import { References } from './references.js';
import { hex, printable } from './text.js';
import { type ClusterIndex, clusterIndex, type HostOffset, plus } from './units.js';
import type { View } from './view.js';
import { blockOffset, viewOf } from './words.js';

/** What a check needs of an image. Nothing may be held back. */
export interface Checkable {
  readonly view: View;
  readonly refcounts: Refcounts;
}

/** What `qemu-img check` counts. */
export interface CheckResult {
  /** Damage: using the image may lose data. */
  readonly corruptions: number;
  /** Clusters that are counted as in use and have no reference: lost space, no damage. */
  readonly leaks: number;
  /** Things that could not be checked. */
  readonly checkErrors: number;
  /** The first findings, as sentences. */
  readonly problems: readonly string[];
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  /** The end of the last cluster in use. */
  readonly imageEndOffset: number;
}

/** A finding as a sentence, which is made only if it is kept. */
type Finding = () => string;

/** How often L1 entries refer to an L2 table, and those of the active L1 table alone. */
interface Table {
  all: number;
  active: number;
  /** The entries of the active L1 table, by their COPIED flag. */
  readonly flagged: Entries;
  readonly unflagged: Entries;
}

interface Entries {
  count: number;
  /** The index of the first one. */
  first: number;
}

const noEntries = (): Entries => ({ count: 0, first: 0 });

const MOST_PROBLEMS = 200;
/** Finding of the tables of all snapshots and bitmaps together: 128 MiB. */
const MOST_SHARED_WORDS = 2 ** 24;
/** An unaligned table can overlap with a million others: only the first are walked. */
const MOST_UNALIGNED_TABLES = 16;
const LARGEST_L1_BYTES = 32 * 2 ** 20;

/** What a scan of all references finds. */
export interface Scan {
  readonly references: References;
  readonly result: CheckResult;
  /** Refcounts cannot be repaired one by one: blocks are missing, shared or misplaced. */
  readonly mustRebuild: boolean;
  /** Corruptions that are nothing but a wrong copied flag. */
  readonly flagErrors: number;
  /** A reference points past the end of the file, so free space cannot be told from used. */
  readonly isUncertain: boolean;
}

/** Checks an image as it is in its file. */
export const check = (image: Checkable): CheckResult => new Checker(image).run().result;

/** @param refcountStructures false: only what a new set of refcounts would have to count */
export const scan = (image: Checkable, refcountStructures = true): Scan =>
  new Checker(image).run(refcountStructures);

class Checker {
  readonly #view: View;
  readonly #refcounts: Refcounts;
  readonly #references = new References();
  readonly #problems: string[] = [];
  readonly #maximum: number;
  #corruptions = 0;
  #leaks = 0;
  #checkErrors = 0;
  #allocated = 0;
  #compressed = 0;
  #mustRebuild = false;
  #isUncertain = false;
  #flagErrors = 0;
  #budget = MOST_SHARED_WORDS;
  #unalignedTables = 0;
  /** All L2 tables, and how often L1 entries refer to them: each is walked once. */
  readonly #tables = new Map<HostOffset, Table>();
  #highest = clusterIndex(0);

  constructor({ view, refcounts }: Checkable) {
    this.#view = view;
    this.#refcounts = refcounts;
    this.#maximum = 2 ** (2 ** view.geometry.refcountOrder) - 1;
  }

  run(refcountStructures = true): Scan {
    const { header, geometry, snapshots } = this.#view;
    const { clusterSize } = geometry;
    this.#count('the header', 0 as HostOffset, clusterSize);
    this.#walkL1('the active L1 table', header.l1TableOffset, header.l1Size, true);
    this.#checkSnapshots();
    this.#walkTables();
    this.#count('the snapshot table', header.snapshotsOffset, snapshots.length);
    for (const { what, offset, length } of bitmapClusters(this.#view, this.#corrupt)) {
      if (this.#affords(length / 8)) this.#count(what, offset, length);
      else break;
    }
    if (refcountStructures) {
      this.#countRefcounts();
      this.#compare();
      const before = this.#corruptions;
      this.#checkCopied();
      this.#flagErrors = this.#corruptions - before;
    }
    return {
      references: this.#references,
      mustRebuild: this.#mustRebuild,
      flagErrors: this.#flagErrors,
      isUncertain: this.#isUncertain,
      result: {
        corruptions: this.#corruptions,
        leaks: this.#leaks,
        checkErrors: this.#checkErrors,
        problems: this.#problems,
        totalClusters: Math.ceil(header.size / clusterSize),
        allocatedClusters: this.#allocated,
        compressedClusters: this.#compressed,
        imageEndOffset: geometry.bytesOf(this.#highest + 1),
      },
    };
  }

  readonly #corrupt = (why: Finding, times = 1): void => {
    this.#corruptions += times;
    this.#report(why);
  };

  #report(why: Finding): void {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push(why());
  }

  /**
   * A budget for work that a small file can claim without end: snapshots and bitmaps may share tables.
   * False once it is more than any sound image needs; the rest is not checked then.
   */
  #affords(work: number): boolean {
    const before = this.#budget;
    this.#budget -= work;
    if (this.#budget >= 0) return true;
    if (before >= 0) {
      this.#checkErrors += 1;
      this.#report(
        () => 'the tables of snapshots and bitmaps are too large together to be checked',
      );
    }
    return false;
  }

  /** Counts `times` references to all clusters that the bytes lie in. */
  #count(what: string, offset: HostOffset, length: number, times = 1): void {
    if (length <= 0) return;
    const { host, geometry } = this.#view;
    // The file may end within the last cluster, but not before it.
    if (offset + length - host.length >= geometry.clusterSize) {
      this.#isUncertain = true;
      this.#corrupt(() => `${what} at ${hex(offset)} lies past the end of the file`, times);
      return;
    }
    const { first, count } = geometry.runOf(offset, length);
    for (let i = 0; i < count; i += 1) {
      const cluster = plus(first, i);
      const sum = this.#references.get(cluster) + times;
      this.#references.set(cluster, Math.min(sum, this.#maximum));
      if (sum > this.#maximum) {
        const over = sum - this.#maximum;
        this.#corrupt(
          () => `cluster ${cluster} has more references than a refcount can hold`,
          over,
        );
      }
    }
  }

  #checkSnapshots(): void {
    const { snapshots, geometry, header } = this.#view;
    for (const [i, { name, l1TableOffset, l1Size, extraLength }] of snapshots.snapshots.entries()) {
      if (header.version >= 3 && extraLength < 16) {
        this.#corrupt(() => `snapshot table entry ${i} is incomplete`);
      }
      const what = `the L1 table of snapshot ${i} (${printable(name)})`;
      if (geometry.into(l1TableOffset) !== 0) {
        this.#corrupt(() => `${what} at ${hex(l1TableOffset)} does not start on a cluster`);
      } else if (l1Size * 8 > LARGEST_L1_BYTES) {
        this.#corrupt(() => `${what} takes more than 32 MiB`);
      } else if (this.#affords(l1Size)) {
        this.#walkL1(what, l1TableOffset, l1Size, false);
      }
    }
  }

  #walkL1(what: string, offset: HostOffset, entries: number, active: boolean): void {
    this.#count(what, offset, entries * 8);
    this.#view.host.eachEntry(offset, entries * 8, (i, word) => {
      if (l1Reserved(word)) this.#corrupt(() => `${what}: entry ${i} has reserved bits set`);
      const offset = offsetOf(word);
      let table = this.#tables.get(offset);
      if (table === undefined) {
        table = { all: 0, active: 0, flagged: noEntries(), unflagged: noEntries() };
        this.#tables.set(offset, table);
      }
      table.all += 1;
      if (!active) return;
      table.active += 1;
      const alike = isCopied(word) ? table.flagged : table.unflagged;
      if (alike.count === 0) alike.first = i;
      alike.count += 1;
    });
  }

  #walkTables(): void {
    const { geometry } = this.#view;
    for (const [offset, table] of this.#tables) {
      this.#count('an L2 table', offset, geometry.clusterSize, table.all);
      if (geometry.into(offset) !== 0) {
        const why: Finding = () => `the L2 table at ${hex(offset)} does not start on a cluster`;
        this.#corrupt(why, table.all);
      }
      if (this.#isWalked(offset)) this.#walkL2(offset, table);
    }
  }

  #isWalked(table: HostOffset): boolean {
    if (this.#view.geometry.into(table) === 0) return true;
    this.#unalignedTables += 1;
    return this.#unalignedTables <= MOST_UNALIGNED_TABLES;
  }

  #walkL2(table: HostOffset, { all, active }: Table): void {
    const { geometry, host } = this.#view;
    const { clusterSize, clusterBits } = geometry;
    const complain = (i: number, why: string): void =>
      this.#corrupt(() => `the L2 table at ${hex(table)}, entry ${i}: ${why}`, all);
    host.eachEntry(table, clusterSize, (i, word) => {
      const mapping = mappingOf(word, clusterBits);
      if (mapping.kind === 'compressed') {
        if (isCopied(word)) complain(i, 'a compressed cluster is flagged as copied');
        this.#count('compressed data', mapping.offset, mapping.length, all);
        this.#compressed += active;
      } else {
        if (l2Reserved(word)) complain(i, 'reserved bits are set');
        if (!isPlaced(mapping)) return;
        if (geometry.into(mapping.offset) !== 0) complain(i, 'its cluster is not aligned');
        this.#count('a data cluster', mapping.offset, clusterSize, all);
      }
      this.#allocated += active;
    });
  }

  #countRefcounts(): void {
    const { header, geometry, host } = this.#view;
    const { clusterSize } = geometry;
    const length = geometry.bytesOf(header.refcountTableClusters);
    this.#count('the refcount table', header.refcountTableOffset, length);
    for (const [i, word] of this.#view.host.entries(header.refcountTableOffset, length)) {
      const block = blockOffset(word);
      const what = `refcount block ${i}`;
      if (word.low % 512 !== 0) {
        this.#corrupt(() => `the refcount table entry of ${what} has reserved bits set`);
        this.#mustRebuild = true;
      } else if (geometry.into(block) !== 0) {
        this.#corrupt(() => `${what} at ${hex(block)} does not start on a cluster`);
        this.#mustRebuild = true;
      } else if (block >= host.endAligned(clusterSize)) {
        this.#corrupt(() => `${what} at ${hex(block)} is outside the image`);
        this.#mustRebuild = true;
      } else {
        this.#count(what, block, clusterSize);
        const references = this.#references.get(geometry.clusterAt(block));
        if (references !== 1) {
          this.#corrupt(() => `${what} has ${references} references`);
          this.#mustRebuild = true;
        }
      }
    }
  }

  /** Compares what is counted with what the image says. */
  #compare(): void {
    const { header, geometry, host } = this.#view;
    const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
    const clusters = Math.max(geometry.clustersFor(host.length), this.#references.highest + 1);
    const seen = new Set<number>();
    const tableBytes = geometry.bytesOf(header.refcountTableClusters);
    for (const [i, word] of this.#view.host.entries(header.refcountTableOffset, tableBytes)) {
      const block = blockOffset(word);
      const first = clusterIndex(i * refcountsPerBlock);
      if (block === 0 || first >= clusters) continue;
      seen.add(i);
      const here = Math.min(refcountsPerBlock, clusters - first);
      if (geometry.into(block) !== 0) {
        this.#checkErrors += here;
        this.#report(
          () => `the refcounts of ${here} clusters from cluster ${first} on cannot be read`,
        );
        continue;
      }
      const counts = viewOf(host.read(block, clusterSize));
      const { get } = widthOf(refcountOrder);
      for (let k = 0; k < here; k += 1) this.#compareOne(plus(first, k), get(counts, k));
    }
    for (const [cluster] of this.#references.entries()) {
      if (!seen.has(Math.floor(cluster / refcountsPerBlock))) this.#compareOne(cluster, 0);
    }
  }

  #compareOne(cluster: ClusterIndex, refcount: number): void {
    const references = this.#references.get(cluster);
    if (refcount > 0 || references > 0)
      this.#highest = clusterIndex(Math.max(this.#highest, cluster));
    if (refcount === references) return;
    const counts: Finding = () =>
      `cluster ${cluster}: refcount ${refcount}, references ${references}`;
    if (refcount > references) {
      this.#leaks += 1;
      this.#report(() => `leaked ${counts()}`);
      return;
    }
    if (refcount === 0) this.#mustRebuild = true;
    this.#corrupt(counts);
  }

  /** The COPIED flags of the active tables say whether a refcount is exactly one. */
  #checkCopied(): void {
    this.#unalignedTables = 0;
    for (const [offset, table] of this.#tables) {
      if (offset === 0 || table.active === 0) continue;
      this.#compareL1Flags(offset, table);
      if (!this.#isWalked(offset)) continue;
      const before = this.#corruptions;
      this.#checkCopiedIn(offset);
      this.#corruptions += (this.#corruptions - before) * (table.active - 1);
    }
  }

  #compareL1Flags(offset: HostOffset, { flagged, unflagged }: Table): void {
    const refcount = this.#refcounts.peek(this.#view.geometry.clusterAt(offset));
    if (refcount === undefined) return;
    const { count, first } = refcount === 1 ? unflagged : flagged;
    if (count === 0) return;
    const others = count === 1 ? '' : `, and ${count - 1} others to the same L2 table`;
    const flag = refcount === 1 ? 'missing' : 'set';
    this.#corrupt(() => `L1 entry ${first}${others}: the copied flag is ${flag}`, count);
  }

  #checkCopiedIn(table: HostOffset): void {
    const { geometry, host } = this.#view;
    host.eachEntry(table, geometry.clusterSize, (i, word) => {
      // Compressed clusters have no copied flag.
      if (isCompressed(word)) return;
      const mapping = mappingOf(word, geometry.clusterBits);
      if (!isPlaced(mapping)) return;
      const what: Finding = () => `the L2 table at ${hex(table)}, entry ${i}`;
      this.#compareFlag(what, mapping.offset, mapping.copied);
    });
  }

  #compareFlag(what: Finding, offset: HostOffset, flagged: boolean): void {
    const count = this.#refcounts.peek(this.#view.geometry.clusterAt(offset));
    if (count === undefined || (count === 1) === flagged) return;
    this.#corrupt(() => `${what()}: the copied flag is ${flagged ? 'set' : 'missing'}`);
  }
}
