/**
 * The repair of refcounts: those that differ are set to what was counted, and where their blocks are
 * damaged all of them are rewritten. The mapping is trusted; only its copied flags are
 * changed. What is uncertain is left as it is.
 * @module
 */
import { type Checkable, type CheckResult, scan } from './check.js';
import { isCopied, isPlaced, mappingOf, offsetOf, zeroEntry } from './entries.js';
import { INCOMPATIBLE } from './header.js';
import type { HeaderWriter } from './header-writer.js';
import { widthOf } from './refcount-width.js';
import type { References } from './references.js';
import { clusterIndex, type HostOffset, plus } from './units.js';
import { readWord, viewOf, writeWord } from './words.js';

/** Leaks only, or everything that can be repaired. */
export type Repairs = 'leaks' | 'all';

/** What a repair changed, and what a check finds afterwards. */
export interface RepairResult extends CheckResult {
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
}

/** What a repair needs of an image. Nothing may be held back. */
export interface Repairable extends Checkable {
  readonly headerWriter: HeaderWriter;
  /** Reads all metadata again. */
  reload(): void;
}

/**
 * Repairs what it can, and checks again. The counts are of what is left.
 * @throws IoError
 */
export function repair(image: Repairable, what: Repairs): RepairResult {
  const before = scan(image);
  if (what === 'all') fixTables(image, dropUnalignedZeroes(image));
  if (before.mustRebuild) {
    if (what === 'all' && !before.isUncertain) rebuild(image);
  } else {
    setRefcounts(image, scan(image).references, what);
  }
  image.reload();
  const between = scan(image);
  const onlyFlags = between.result.corruptions === between.flagErrors;
  if (between.flagErrors > 0 && (what === 'all' || onlyFlags)) {
    fixTables(image, setCopiedFlags(image));
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

function clearMarks({ view, headerWriter }: Repairable): void {
  const marks = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt;
  const { incompatible, version } = view.header;
  if (version < 3 || (incompatible & marks) === 0n) return;
  headerWriter.rewrite({ incompatible: incompatible & ~marks });
}

/** Sets the refcounts that differ, each where it stands. */
function setRefcounts(
  { view, refcounts }: Repairable,
  references: References,
  what: Repairs,
): void {
  const { header, geometry, host } = view;
  const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
  const entries = geometry.bytesOf(header.refcountTableClusters) / 8;
  const { get, set } = widthOf(refcountOrder);
  const clusters = Math.max(geometry.clustersFor(host.length), references.highest + 1);
  for (let i = 0; i < entries && i * refcountsPerBlock < clusters; i += 1) {
    const block = refcounts.blockAt(i);
    if (block === undefined) continue;
    const bytes = host.read(block, clusterSize);
    const counts = viewOf(bytes);
    let changed = false;
    const first = clusterIndex(i * refcountsPerBlock);
    const here = Math.min(refcountsPerBlock, clusters - first);
    for (let k = 0; k < here; k += 1) {
      const counted = references.get(plus(first, k));
      const said = get(counts, k);
      if (counted === said || (counted > said && what === 'leaks')) continue;
      set(counts, k, counted);
      changed = true;
    }
    if (changed) host.write(block, bytes);
  }
  host.flush();
}

/** Writes a whole new set of refcounts behind everything else, and then makes it count. */
function rebuild(image: Repairable): void {
  const { geometry, host } = image.view;
  const { clusterSize, refcountsPerBlock, refcountOrder } = geometry;
  const { references } = scan(image, false);
  const start = clusterIndex(Math.max(references.highest + 1, geometry.clustersFor(host.length)));
  const { blocks, tableClusters } = layOutRefcounts(image, references, start);
  const area = blocks.length + tableClusters;
  for (let i = 0; i < area; i += 1) references.set(plus(start, i), 1);

  const table = new Uint8Array(geometry.bytesOf(tableClusters));
  const entries = viewOf(table);
  const { set } = widthOf(refcountOrder);
  for (const [i, index] of blocks.entries()) {
    const counts = new Uint8Array(clusterSize);
    for (let k = 0; k < refcountsPerBlock; k += 1) {
      const count = references.get(clusterIndex(index * refcountsPerBlock + k));
      if (count > 0) set(viewOf(counts), k, count);
    }
    const block = geometry.startOf(plus(start, i));
    entries.setBigUint64(index * 8, BigInt(block));
    host.write(block, counts);
  }
  const refcountTableOffset = geometry.startOf(plus(start, blocks.length));
  host.write(refcountTableOffset, table);
  image.headerWriter.rewrite({ refcountTableOffset, refcountTableClusters: tableClusters });
}

/** Which refcount blocks the references need, and how many clusters of table, themselves included. */
function layOutRefcounts(
  { view: { geometry } }: Repairable,
  references: References,
  start: number,
): { blocks: readonly number[]; tableClusters: number } {
  const { refcountsPerBlock } = geometry;
  const needed = new Set<number>();
  for (const [cluster] of references.entries()) {
    needed.add(Math.floor(cluster / refcountsPerBlock));
  }
  // The new blocks and the new table count themselves: repeated until nothing is missing.
  let tableClusters = 1;
  for (let area = 0; area < needed.size + tableClusters; ) {
    area = needed.size + tableClusters;
    const last = Math.floor((start + area - 1) / refcountsPerBlock);
    for (let i = Math.floor(start / refcountsPerBlock); i <= last; i += 1) needed.add(i);
    tableClusters = geometry.clustersFor((Math.max(...needed) + 1) * 8);
  }
  return { blocks: [...needed].sort((a, b) => a - b), tableClusters };
}

/** Changes an entry of a table in place. True if it did. */
type Fix = (view: DataView, at: number) => boolean;

interface Fixes {
  readonly l1?: Fix;
  readonly l2: Fix;
}

/** Goes over the active L1 table and all sound L2 tables below it. */
function fixTables({ view }: Repairable, { l1, l2 }: Fixes): void {
  const { header, geometry, host } = view;
  const { clusterSize } = geometry;
  const fix = (offset: HostOffset, length: number, each: Fix | undefined): DataView => {
    const bytes = host.read(offset, length);
    const words = viewOf(bytes);
    let changed = false;
    for (let at = 0; each !== undefined && at + 8 <= length; at += 8) {
      changed = each(words, at) || changed;
    }
    if (changed) host.write(offset, bytes);
    return words;
  };
  const length = Math.max(0, Math.min(header.l1Size * 8, host.length - header.l1TableOffset));
  const table = fix(header.l1TableOffset, length, l1);
  const tables = new Set<HostOffset>();
  for (let at = 0; at + 8 <= length; at += 8) tables.add(offsetOf(readWord(table, at)));
  for (const offset of tables) {
    const isSound = offset > 0 && geometry.into(offset) === 0 && offset < host.length;
    if (isSound) fix(offset, clusterSize, l2);
  }
  host.flush();
}

/** Makes the copied flags of the active tables agree with the refcounts. */
function setCopiedFlags({ view: { geometry }, refcounts }: Repairable): Fixes {
  const flag = (view: DataView, at: number, target: HostOffset): boolean => {
    const count = refcounts.peek(geometry.clusterAt(target));
    if (target === 0 || count === undefined) return false;
    if (isCopied(readWord(view, at)) === (count === 1)) return false;
    view.setUint8(at, view.getUint8(at) ^ 0x80);
    return true;
  };
  return {
    l1: (view, at) => flag(view, at, offsetOf(readWord(view, at))),
    l2(view, at) {
      const mapping = mappingOf(readWord(view, at), geometry.clusterBits);
      return isPlaced(mapping) && flag(view, at, mapping.offset);
    },
  };
}

/** A cluster that reads as zeros needs no place: an unaligned one is dropped. */
function dropUnalignedZeroes({ view: { geometry } }: Repairable): Fixes {
  return {
    l2(view, at) {
      const mapping = mappingOf(readWord(view, at), geometry.clusterBits);
      if (mapping.kind !== 'zero' || geometry.into(mapping.offset) === 0) return false;
      writeWord(view, at, zeroEntry());
      return true;
    },
  };
}
