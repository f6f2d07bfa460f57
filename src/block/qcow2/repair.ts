/**
 * Mending refcounts: those that differ are set to what was counted, and where their blocks are
 * damaged all of them are written anew. The mapping is taken for true; only its copied flags are
 * changed. What cannot be told with certainty is left as it is.
 * @module
 */
import { type CheckResult, scan } from './check.js';
import { isCopied, mappingOf, offsetOf, zeroEntry } from './entries.js';
import { type Header, INCOMPATIBLE } from './header.js';
import type { Image } from './image.js';
import { WIDTHS } from './refcount-width.js';
import type { References } from './references.js';
import { readWord, writeWord } from './words.js';

export type Repairs = 'leaks' | 'all';

export interface RepairResult extends CheckResult {
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
}

/** What a repair needs of an image beyond what everybody needs. */
export interface RepairableImage extends Image {
  /** Reads all metadata again. */
  reload(): void;
}

/**
 * Mends what it can, and checks again. The counts are of what is left.
 * @throws IoError
 */
export function repair(image: RepairableImage, what: Repairs): RepairResult {
  const before = scan(image);
  if (what === 'all') mendTables(image, dropWildZeroes(image));
  if (before.mustRebuild) {
    if (what === 'all' && !before.isUncertain) rebuild(image);
  } else {
    setRefcounts(image, scan(image).references, what);
  }
  image.reload();
  const between = scan(image);
  const onlyFlags = between.result.corruptions === between.flagErrors;
  if (between.flagErrors > 0 && (what === 'all' || onlyFlags)) {
    mendTables(image, setCopiedFlags(image));
    image.reload();
  }
  const after = scan(image).result;
  if (what === 'all' && after.corruptions === 0 && after.checkErrors === 0) clearMarks(image);
  return {
    ...after,
    corruptionsFixed: Math.max(0, before.result.corruptions - after.corruptions),
    leaksFixed: Math.max(0, before.result.leaks - after.leaks),
  };
}

function clearMarks(image: Image): void {
  const marks = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt;
  const { incompatible, version } = image.header;
  if (version < 3 || (incompatible & marks) === 0n) return;
  image.rewriteHeader({ incompatible: incompatible & ~marks });
}

/** Sets the refcounts that differ, each where it stands. */
function setRefcounts(image: Image, references: References, what: Repairs): void {
  const { header, geometry, host, refcounts } = image;
  const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
  const entries = (header.refcountTableClusters * clusterSize) / 8;
  const { get, set } = WIDTHS[refcountOrder]!;
  const clusters = Math.max(Math.ceil(host.node.length / clusterSize), references.highest + 1);
  for (let i = 0; i < entries && i * refcountsPerBlock < clusters; i += 1) {
    const block = refcounts.blockAt(i);
    if (block === undefined) continue;
    const bytes = host.read(block, clusterSize);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let changed = false;
    const here = Math.min(refcountsPerBlock, clusters - i * refcountsPerBlock);
    for (let k = 0; k < here; k += 1) {
      const counted = references.get(i * refcountsPerBlock + k);
      const said = get(view, k);
      if (counted === said || (counted > said && what === 'leaks')) continue;
      set(view, k, counted);
      changed = true;
    }
    if (changed) host.write(block, bytes);
  }
  host.flush();
}

/** Writes a whole new set of refcounts behind everything else, and then makes it count. */
function rebuild(image: RepairableImage): void {
  const { geometry, host } = image;
  const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
  const { references } = scan(image, false);
  const start = Math.max(references.highest + 1, Math.ceil(host.node.length / clusterSize));
  const needed = new Set<number>();
  for (const [cluster] of references.entries()) {
    needed.add(Math.floor(cluster / refcountsPerBlock));
  }
  // The new blocks and the new table are counted by themselves: go on until nothing is missing.
  let tableClusters = 1;
  for (let area = 0; area < needed.size + tableClusters; ) {
    area = needed.size + tableClusters;
    const last = Math.floor((start + area - 1) / refcountsPerBlock);
    for (let i = Math.floor(start / refcountsPerBlock); i <= last; i += 1) needed.add(i);
    tableClusters = Math.ceil(((Math.max(...needed) + 1) * 8) / clusterSize);
  }
  const blocks = [...needed].sort((a, b) => a - b);
  const area = blocks.length + tableClusters;
  for (let cluster = start; cluster < start + area; cluster += 1) references.set(cluster, 1);

  const table = new DataView(new ArrayBuffer(tableClusters * clusterSize));
  const { set } = WIDTHS[refcountOrder]!;
  for (const [i, index] of blocks.entries()) {
    const counts = new DataView(new ArrayBuffer(clusterSize));
    for (let k = 0; k < refcountsPerBlock; k += 1) {
      const count = references.get(index * refcountsPerBlock + k);
      if (count > 0) set(counts, k, count);
    }
    table.setBigUint64(index * 8, BigInt((start + i) * clusterSize));
    host.write((start + i) * clusterSize, new Uint8Array(counts.buffer));
  }
  const refcountTableOffset = (start + blocks.length) * clusterSize;
  host.write(refcountTableOffset, new Uint8Array(table.buffer));
  const changes: Partial<Header> = { refcountTableOffset, refcountTableClusters: tableClusters };
  image.rewriteHeader(changes);
}

/** Changes an entry of a table in place. True if it did. */
type Mend = (view: DataView, at: number) => boolean;

/** Goes over the active L1 table and all sound L2 tables below it. */
function mendTables(image: Image, { l1, l2 }: { readonly l1?: Mend; readonly l2: Mend }): void {
  const { header, geometry, host } = image;
  const { clusterSize } = geometry;
  const mend = (offset: number, length: number, each: Mend | undefined): DataView => {
    const bytes = host.read(offset, length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let changed = false;
    for (let at = 0; each !== undefined && at + 8 <= length; at += 8) {
      changed = each(view, at) || changed;
    }
    if (changed) host.write(offset, bytes);
    return view;
  };
  const length = Math.max(0, Math.min(header.l1Size * 8, host.node.length - header.l1TableOffset));
  const table = mend(header.l1TableOffset, length, l1);
  const tables = new Set<number>();
  for (let at = 0; at + 8 <= length; at += 8) tables.add(offsetOf(readWord(table, at)));
  for (const offset of tables) {
    const isSound = offset > 0 && offset % clusterSize === 0 && offset < host.node.length;
    if (isSound) mend(offset, clusterSize, l2);
  }
  host.flush();
}

/** Makes the copied flags of the active tables say what the refcounts say. */
function setCopiedFlags({ geometry, refcounts }: Image): { l1: Mend; l2: Mend } {
  const flag = (view: DataView, at: number, target: number): boolean => {
    const count = refcounts.peek(Math.floor(target / geometry.clusterSize));
    if (target === 0 || count === undefined) return false;
    if (isCopied(readWord(view, at)) === (count === 1)) return false;
    view.setUint8(at, view.getUint8(at) ^ 0x80);
    return true;
  };
  return {
    l1: (view, at) => flag(view, at, offsetOf(readWord(view, at))),
    l2(view, at) {
      const mapping = mappingOf(readWord(view, at), geometry.clusterBits);
      const isPlain = mapping.kind === 'data' || mapping.kind === 'zero';
      return isPlain && flag(view, at, mapping.offset);
    },
  };
}

/** A cluster that reads as zeros needs no place: one that is out of place is let go of. */
function dropWildZeroes({ geometry }: Image): { l2: Mend } {
  return {
    l2(view, at) {
      const mapping = mappingOf(readWord(view, at), geometry.clusterBits);
      if (mapping.kind !== 'zero' || mapping.offset % geometry.clusterSize === 0) return false;
      writeWord(view, at, zeroEntry());
      return true;
    },
  };
}
