/**
 * What is wrong with an image: every reference counted and compared with the refcounts, with the
 * verdicts and the counts of `qemu-img check`. Data is not looked at, only who refers to what.
 * @module
 */
import { bitmapClusters } from './bitmaps.js';
import {
  isCompressed,
  isCopied,
  l1Reserved,
  l2Reserved,
  type Mapping,
  mappingOf,
  offsetOf,
} from './entries.js';
import type { Image } from './image.js';
import { WIDTHS } from './refcount-width.js';
import { References } from './references.js';
import { blockOffset, isZero, readWord, type Word } from './words.js';

export interface CheckResult {
  /** Damage: using the image may lose data. */
  readonly corruptions: number;
  /** Clusters that are counted as in use and that nothing refers to: lost space, nothing else. */
  readonly leaks: number;
  /** Things that could not be checked. */
  readonly checkErrors: number;
  /** The first of the findings, in words. */
  readonly problems: readonly string[];
  readonly totalClusters: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  /** The end of the last cluster in use. */
  readonly imageEndOffset: number;
}

/** A finding in words, which are put together only where somebody will read them. */
type Words = () => string;

/** How often L1 entries refer to an L2 table, and those of the active L1 table alone. */
interface Table {
  all: number;
  active: number;
}

const MOST_PROBLEMS = 200;
/** Words of the tables of all snapshots and bitmaps together: 128 MiB. */
const MOST_SHARED_WORDS = 2 ** 24;
/** A table that starts on no cluster can overlap with a million others: some are looked at. */
const MOST_WILD_TABLES = 16;
const LARGEST_L1_BYTES = 32 * 2 ** 20;

/** What a scan of all references finds. */
export interface Scan {
  readonly references: References;
  readonly result: CheckResult;
  /** Refcounts cannot be mended one by one: blocks are missing, shared or out of place. */
  readonly mustRebuild: boolean;
  /** Corruptions that are nothing but a wrong copied flag. */
  readonly flagErrors: number;
  /** Something refers to what the file does not have, so free space cannot be told from used. */
  readonly isUncertain: boolean;
}

/** Checks an image as it is in its file. */
export const check = (image: Image): CheckResult => new Checker(image).run().result;

/** @param refcountStructures false: only what a new set of refcounts would have to count */
export const scan = (image: Image, refcountStructures = true): Scan =>
  new Checker(image).run(refcountStructures);

class Checker {
  readonly #image: Image;
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
  #wildTables = 0;
  /** All L2 tables, and how often L1 entries refer to them: each is walked once. */
  readonly #tables = new Map<number, Table>();
  #highest = 0;

  constructor(image: Image) {
    this.#image = image;
    this.#maximum = 2 ** (2 ** image.geometry.refcountOrder) - 1;
  }

  run(refcountStructures = true): Scan {
    const { header, geometry, snapshots } = this.#image;
    const { clusterSize } = geometry;
    this.#count('the header', 0, clusterSize);
    this.#walkL1('the active L1 table', header.l1TableOffset, header.l1Size, true);
    this.#checkSnapshots();
    this.#walkTables();
    this.#count('the snapshot table', header.snapshotsOffset, snapshots.length);
    for (const { what, offset, length } of bitmapClusters(this.#image, this.#corrupt)) {
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
        imageEndOffset: (this.#highest + 1) * clusterSize,
      },
    };
  }

  readonly #corrupt = (why: Words, times = 1): void => {
    this.#corruptions += times;
    this.#tell(why);
  };

  #tell(why: Words): void {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push(why());
  }

  /**
   * Pays for work that a small file can claim without end: snapshots and bitmaps may share tables.
   * False once that is more than any honest image needs; what is left is not checked then.
   */
  #affords(work: number): boolean {
    const before = this.#budget;
    this.#budget -= work;
    if (this.#budget >= 0) return true;
    if (before >= 0) {
      this.#checkErrors += 1;
      this.#tell(() => 'the tables of snapshots and bitmaps are too large together to be checked');
    }
    return false;
  }

  /** Counts `times` references to all clusters that the bytes lie in. */
  #count(what: string, offset: number, length: number, times = 1): void {
    if (length <= 0) return;
    const { host, geometry } = this.#image;
    const { clusterSize } = geometry;
    // The file may end within the last cluster, but not before it.
    if (offset + length - host.node.length >= clusterSize) {
      this.#isUncertain = true;
      this.#corrupt(() => `${what} at ${hex(offset)} lies past the end of the file`, times);
      return;
    }
    const last = Math.floor((offset + length - 1) / clusterSize);
    for (let cluster = Math.floor(offset / clusterSize); cluster <= last; cluster += 1) {
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
    const { snapshots, geometry, header } = this.#image;
    for (const [i, { name, l1TableOffset, l1Size, extraLength }] of snapshots.snapshots.entries()) {
      if (header.version >= 3 && extraLength < 16) {
        this.#corrupt(() => `snapshot table entry ${i} is incomplete`);
      }
      const what = `the L1 table of snapshot ${i} (${printable(name)})`;
      if (l1TableOffset % geometry.clusterSize !== 0) {
        this.#corrupt(() => `${what} at ${hex(l1TableOffset)} does not start on a cluster`);
      } else if (l1Size * 8 > LARGEST_L1_BYTES) {
        this.#corrupt(() => `${what} takes more than 32 MiB`);
      } else if (this.#affords(l1Size)) {
        this.#walkL1(what, l1TableOffset, l1Size, false);
      }
    }
  }

  #walkL1(what: string, offset: number, entries: number, active: boolean): void {
    this.#count(what, offset, entries * 8);
    for (const [i, word] of this.#words(offset, entries * 8)) {
      if (isZero(word)) continue;
      if (l1Reserved(word)) this.#corrupt(() => `${what}: entry ${i} has reserved bits set`);
      const offset = offsetOf(word);
      const table = this.#tables.get(offset) ?? { all: 0, active: 0 };
      table.all += 1;
      if (active) table.active += 1;
      this.#tables.set(offset, table);
    }
  }

  #walkTables(): void {
    const { clusterSize } = this.#image.geometry;
    for (const [offset, table] of this.#tables) {
      this.#count('an L2 table', offset, clusterSize, table.all);
      if (offset % clusterSize !== 0) {
        const why: Words = () => `the L2 table at ${hex(offset)} does not start on a cluster`;
        this.#corrupt(why, table.all);
      }
      if (this.#isWalked(offset)) this.#walkL2(offset, table);
    }
  }

  #isWalked(table: number): boolean {
    if (table % this.#image.geometry.clusterSize === 0) return true;
    this.#wildTables += 1;
    return this.#wildTables <= MOST_WILD_TABLES;
  }

  #walkL2(table: number, { all, active }: Table): void {
    const { clusterSize, clusterBits } = this.#image.geometry;
    for (const [i, word] of this.#words(table, clusterSize)) {
      if (isZero(word)) continue;
      const mapping = mappingOf(word, clusterBits);
      const complain = (why: string): void =>
        this.#corrupt(() => `the L2 table at ${hex(table)}, entry ${i}: ${why}`, all);
      if (mapping.kind === 'compressed') {
        if (isCopied(word)) complain('a compressed cluster is flagged as copied');
        this.#count('compressed data', mapping.offset, mapping.length, all);
        this.#compressed += active;
      } else {
        if (l2Reserved(word)) complain('reserved bits are set');
        if (!hasCluster(mapping)) continue;
        if (mapping.offset % clusterSize !== 0) complain('its cluster is not aligned');
        this.#count('a data cluster', mapping.offset, clusterSize, all);
      }
      this.#allocated += active;
    }
  }

  #countRefcounts(): void {
    const { header, geometry, host } = this.#image;
    const { clusterSize } = geometry;
    const length = header.refcountTableClusters * clusterSize;
    this.#count('the refcount table', header.refcountTableOffset, length);
    for (const [i, word] of this.#words(header.refcountTableOffset, length)) {
      if (isZero(word)) continue;
      const block = blockOffset(word);
      const what = `refcount block ${i}`;
      if (word.low % 512 !== 0) {
        this.#corrupt(() => `the refcount table entry of ${what} has reserved bits set`);
        this.#mustRebuild = true;
      } else if (block % clusterSize !== 0) {
        this.#corrupt(() => `${what} at ${hex(block)} does not start on a cluster`);
        this.#mustRebuild = true;
      } else if (block >= Math.ceil(host.node.length / clusterSize) * clusterSize) {
        this.#corrupt(() => `${what} at ${hex(block)} is outside the image`);
        this.#mustRebuild = true;
      } else {
        this.#count(what, block, clusterSize);
        const references = this.#references.get(block / clusterSize);
        if (references !== 1) {
          this.#corrupt(() => `${what} has ${references} references`);
          this.#mustRebuild = true;
        }
      }
    }
  }

  /** Compares what is counted with what the image says. */
  #compare(): void {
    const { header, geometry, host } = this.#image;
    const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
    const clusters = Math.max(
      Math.ceil(host.node.length / clusterSize),
      this.#references.highest + 1,
    );
    const seen = new Set<number>();
    const tableBytes = header.refcountTableClusters * clusterSize;
    for (const [i, word] of this.#words(header.refcountTableOffset, tableBytes)) {
      const block = blockOffset(word);
      const first = i * refcountsPerBlock;
      if (block === 0 || first >= clusters) continue;
      seen.add(i);
      const here = Math.min(refcountsPerBlock, clusters - first);
      if (block % clusterSize !== 0) {
        this.#checkErrors += here;
        this.#tell(
          () => `the refcounts of ${here} clusters from cluster ${first} on cannot be read`,
        );
        continue;
      }
      const bytes = host.read(block, clusterSize);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const { get } = WIDTHS[refcountOrder]!;
      for (let k = 0; k < here; k += 1) this.#compareOne(first + k, get(view, k));
    }
    for (const [cluster] of this.#references.entries()) {
      if (!seen.has(Math.floor(cluster / refcountsPerBlock))) this.#compareOne(cluster, 0);
    }
  }

  #compareOne(cluster: number, refcount: number): void {
    const references = this.#references.get(cluster);
    if (refcount > 0 || references > 0) this.#highest = Math.max(this.#highest, cluster);
    if (refcount === references) return;
    const counts: Words = () =>
      `cluster ${cluster}: refcount ${refcount}, references ${references}`;
    if (refcount > references) {
      this.#leaks += 1;
      this.#tell(() => `leaked ${counts()}`);
      return;
    }
    if (refcount === 0) this.#mustRebuild = true;
    this.#corrupt(counts);
  }

  /** The COPIED flags of the active tables say whether a refcount is exactly one. */
  #checkCopied(): void {
    const { header, geometry, refcounts } = this.#image;
    const { clusterBits, clusterSize } = geometry;
    const isOne = (offset: number): boolean | undefined => {
      const count = refcounts.peek(Math.floor(offset / clusterSize));
      return count === undefined ? undefined : count === 1;
    };
    const compare = (what: Words, offset: number, flagged: boolean): void => {
      const one = isOne(offset);
      if (one === undefined || one === flagged) return;
      this.#corrupt(() => `${what()}: the copied flag is ${flagged ? 'set' : 'missing'}`);
    };
    this.#wildTables = 0;
    const walked = new Map<number, number>();
    for (const [i, word] of this.#words(header.l1TableOffset, header.l1Size * 8)) {
      const table = offsetOf(word);
      if (table === 0) continue;
      compare(() => `L1 entry ${i}`, table, isCopied(word));
      const before = walked.get(table);
      if (before !== undefined) this.#corruptions += before;
      if (before !== undefined || !this.#isWalked(table)) continue;
      const found = this.#corruptions;
      for (const [k, entry] of this.#words(table, clusterSize)) {
        // Compressed clusters have no copied flag.
        if (isZero(entry) || isCompressed(entry)) continue;
        const mapping = mappingOf(entry, clusterBits);
        if (mapping.kind === 'compressed' || !hasCluster(mapping)) continue;
        const what: Words = () => `the L2 table at ${hex(table)}, entry ${k}`;
        compare(what, mapping.offset, mapping.copied);
      }
      walked.set(table, this.#corruptions - found);
    }
  }

  /** The words of a table that are in the file, by index. What is past its end is zero. */
  *#words(offset: number, length: number): Generator<readonly [index: number, word: Word]> {
    const { host } = this.#image;
    const there = Math.max(0, Math.min(length, host.node.length - offset));
    for (let at = 0; at < there; at += CHUNK_BYTES) {
      const bytes = host.read(offset + at, Math.ceil(Math.min(CHUNK_BYTES, there - at) / 8) * 8);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let i = 0; i < bytes.length; i += 8) yield [(at + i) / 8, readWord(view, i)];
    }
  }
}

const CHUNK_BYTES = 64 * 2 ** 10;

const hex = (offset: number): string => `0x${offset.toString(16)}`;
const hasCluster = (
  mapping: Mapping,
): mapping is Mapping & { kind: 'data' | 'zero'; offset: number; copied: boolean } =>
  (mapping.kind === 'data' || mapping.kind === 'zero') && mapping.offset !== 0;

/** Names from an image go to a terminal: no control characters. */
const printable = (name: string): string => name.replaceAll(/[^\x20-\x7e]/g, '?');
