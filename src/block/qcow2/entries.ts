/**
 * Entries of the L1 and L2 tables: QEMU docs/interop/qcow2, "Cluster mapping". Each word means one
 * of a few closed cases.
 * @module
 */
import { type HostOffset, hostOffset, plus } from './units.js';
import { type Word, wordOf } from './words.js';

/** Bit 63: the cluster's refcount is exactly one, so it may be written in place. */
const COPIED = 0x8000_0000;
/** Bit 62 of an L2 entry. */
const COMPRESSED = 0x4000_0000;
/** Bit 0 of an L2 entry (version 3): the cluster reads as zeros whatever it holds. */
const ZEROS = 1;
const OFFSET_HIGH = 0x00ff_ffff;
const OFFSET_LOW = 0xffff_fe00;

/** Bits 9 to 55. The rest is flags and reserved bits. */
export const offsetOf = (word: Word): HostOffset =>
  hostOffset((word.high & OFFSET_HIGH) * 2 ** 32 + ((word.low & OFFSET_LOW) >>> 0));
export const isCopied = (word: Word): boolean => (word.high & COPIED) !== 0;

/** The table at `offset`, which has no other reference. */
export const l1Entry = (offset: HostOffset): Word => wordOf(offset, COPIED);

/** Reserved bits that are set, in an L1 entry: 0 to 8 and 56 to 62. */
export const l1Reserved = (word: Word): boolean =>
  (word.high & 0x7f00_0000) !== 0 || (word.low & 0x1ff) !== 0;
/** Reserved bits that are set, in a plain L2 entry: 1 to 8 and 56 to 61. */
export const l2Reserved = (word: Word): boolean =>
  (word.high & 0x3f00_0000) !== 0 || (word.low & 0x1fe) !== 0;

/** What stands behind one guest cluster. */
export type Mapping =
  /** Nothing here: the backing file shows through, or zeros. */
  | { readonly kind: 'unallocated' }
  /** Zeros. With an offset, a cluster is reserved for it. */
  | { readonly kind: 'zero'; readonly offset: HostOffset; readonly copied: boolean }
  | { readonly kind: 'data'; readonly offset: HostOffset; readonly copied: boolean }
  /** `offset` and `length` in bytes; the data may end earlier. */
  | { readonly kind: 'compressed'; readonly offset: HostOffset; readonly length: number };

export const UNALLOCATED: Mapping = { kind: 'unallocated' };

export const isCompressed = (word: Word): boolean => (word.high & COMPRESSED) !== 0;

/** Reads an L2 entry. */
export function mappingOf(word: Word, clusterBits: number): Mapping {
  if (isCompressed(word)) return compressed(word, clusterBits);
  const offset = offsetOf(word);
  const copied = isCopied(word);
  if ((word.low & ZEROS) !== 0) return { kind: 'zero', offset, copied };
  return offset === 0 ? UNALLOCATED : { kind: 'data', offset, copied };
}

/**
 * Bits 0 to x-1 are a byte offset, x to 61 how many 512-byte sectors follow the one that the offset
 * lies in, where x = 62 - (clusterBits - 8).
 */
function compressed(word: Word, clusterBits: number): Mapping {
  // x is 49 to 61: the border always lies in the high half, and below its sign.
  const border = 62 - (clusterBits - 8) - 32;
  const high = word.high & 0x3fff_ffff;
  const offset = (high & ((1 << border) - 1)) * 2 ** 32 + word.low;
  const sectors = (high >>> border) + 1;
  return {
    kind: 'compressed',
    offset: hostOffset(offset),
    length: sectors * 512 - (word.low & 511),
  };
}

/** The cluster at `offset`, which has no other reference. */
export const dataEntry = (offset: HostOffset): Word => wordOf(offset, COPIED);

/** Zeros; `offset`, if given, is a cluster that stays reserved for it. */
export const zeroEntry = (offset?: HostOffset): Word =>
  offset === undefined ? { high: 0, low: ZEROS } : wordOf(plus(offset, ZEROS), COPIED);

/** A mapping to a whole cluster of the file, whether it is read or only reserved. */
export type Placed = Extract<Mapping, { readonly copied: boolean }>;

export const isPlaced = (mapping: Mapping): mapping is Placed =>
  (mapping.kind === 'data' || mapping.kind === 'zero') && mapping.offset !== 0;
