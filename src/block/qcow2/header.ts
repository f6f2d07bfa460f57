/**
 * The qcow2 header, versions 2 and 3: the fields, the rules that they must keep, and which features
 * are supported. Offsets and meanings: QEMU docs/interop/qcow2, "Header".
 * @module
 */

import { broken, type Rules } from '../../rules.js';
import { encode, flags64, layout, type Of, Reader, u8, u32, WireError } from '../../wire/codec.js';
import { ImageError } from '../node.js';
import { Geometry } from './units.js';
import { hostOffset64, offset64 } from './words.js';

const MAGIC = 0x5146_49fb;
export const VERSION_2_BYTES = 72;
/** As QEMU writes it for version 3: all fields that are defined so far, padded to 8. */
export const VERSION_3_BYTES = 112;

// biome-ignore format: table
const version2 = layout(0, VERSION_2_BYTES, {
  magic:                 [  0, u32],
  version:               [  4, u32],
  backingFileOffset:     [  8, hostOffset64],
  backingFileSize:       [ 16, u32],
  clusterBits:           [ 20, u32],
  size:                  [ 24, offset64],
  cryptMethod:           [ 32, u32],
  l1Size:                [ 36, u32],
  l1TableOffset:         [ 40, hostOffset64],
  refcountTableOffset:   [ 48, hostOffset64],
  refcountTableClusters: [ 56, u32],
  snapshotCount:         [ 60, u32],
  snapshotsOffset:       [ 64, hostOffset64],
});

// biome-ignore format: table
const version3 = layout(VERSION_2_BYTES, 104, {
  incompatible:          [ 72, flags64],
  compatible:            [ 80, flags64],
  autoclear:             [ 88, flags64],
  refcountOrder:         [ 96, u32],
  headerLength:          [100, u32],
});

/** The values of these fields for version 2, which does not have them. */
const VERSION_2_MEANS: Of<typeof version3> = {
  incompatible: 0n,
  compatible: 0n,
  autoclear: 0n,
  refcountOrder: 4,
  headerLength: VERSION_2_BYTES,
};

export type Header = Of<typeof version2> &
  Of<typeof version3> & {
    /** Byte 104, there where the header is longer than 104: 0 deflate, 1 zstd. */
    compressionType: number;
  };

/** Where the incompatible feature bits of a version 3 header are. */
export const INCOMPATIBLE_OFFSET = 72;

// biome-ignore format: table
export const INCOMPATIBLE = {
  dirty:           1n << 0n,
  corrupt:         1n << 1n,
  dataFile:        1n << 2n,
  compressionType: 1n << 3n,
  extendedL2:      1n << 4n,
} as const;
const KNOWN = 0x1fn;

const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** Rules without which nothing else in the file can be found. Keys are what a user reads. */
// biome-ignore format: table
const READABLE_UNLESS: Rules<Header> = {
  'the version is 2 or 3':                       h => h.version === 2 || h.version === 3,
  'clusters have 512 bytes to 2 MiB':            h => h.clusterBits >= 9 && h.clusterBits <= 21,
  'a version 3 header has 104 bytes or more':    h => h.version < 3 || h.headerLength >= 104,
  'the header keeps to its first cluster':       h => h.headerLength <= 2 ** h.clusterBits,
};

// biome-ignore format: table
const MALFORMED_UNLESS: Rules<Header> = {
  'refcounts have at most 64 bits':              h => h.refcountOrder <= 6,
  'the encryption method is known':              h => h.cryptMethod <= 2,
  'the disk is smaller than 2^63 bytes':         h => h.size <= 2 ** 63 - 2 ** 21,
  'the L1 table starts on a cluster':            h => onCluster(h, h.l1TableOffset),
  'the L1 table takes at most 32 MiB':           h => h.l1Size * 8 <= 32 * MIB,
  'the L1 table covers the disk':                h => l1Covers(h) >= h.size,
  'the refcount table starts on a cluster':      h => onCluster(h, h.refcountTableOffset),
  'the refcount table takes at most 8 MiB':      h => h.refcountTableClusters * 2 ** h.clusterBits <= 8 * MIB,
  'raw external data has an external data file': h => h.autoclear / 2n % 2n === 0n || has(h, INCOMPATIBLE.dataFile),
  'there are at most 65536 snapshots':           h => h.snapshotCount <= 64 * KIB,
  'the snapshot table starts on a cluster':      h => onCluster(h, h.snapshotsOffset),
  'the backing file name is in the first cluster':
                                                 h => h.backingFileOffset === 0 || h.backingFileOffset + h.backingFileSize <= 2 ** h.clusterBits,
  'the backing file name has at most 1023 bytes':
                                                 h => h.backingFileOffset === 0 || h.backingFileSize <= 1023,
  'the compression type is known':               h => h.compressionType <= 1,
  'the compression type and its feature bit agree':
                                                 h => (h.compressionType !== 0) === has(h, INCOMPATIBLE.compressionType),
};

/** Features of the format that are not supported. */
// biome-ignore format: table
const SUPPORTED: Rules<Header> = {
  'encryption by QEMU is not supported':         h => h.cryptMethod === 0,
  'an external data file is not supported':      h => !has(h, INCOMPATIBLE.dataFile),
  'extended L2 entries are not supported':       h => !has(h, INCOMPATIBLE.extendedL2),
};

export const geometryOf = ({ clusterBits, refcountOrder }: Header): Geometry =>
  new Geometry(clusterBits, refcountOrder);

export const has = (h: Header, feature: bigint): boolean => (h.incompatible & feature) !== 0n;
/** An empty name means no backing file. */
export const isOverlay = (h: Header): boolean => h.backingFileOffset > 0 && h.backingFileSize > 0;
const onCluster = (h: Header, offset: number): boolean =>
  offset % 2 ** h.clusterBits === 0 && offset <= 2 ** 56;

/** How many bytes of disk the L1 table can describe. */
const l1Covers = (h: Header): number => h.l1Size * 2 ** (2 * h.clusterBits - 3);

/** Whether `bytes` begin as a qcow2 file does. */
export function isQcow2(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new Reader(bytes).uint(4) === MAGIC;
}

/**
 * Reads the header that `bytes` start with and checks it by all rules of the format.
 * @throws ImageError NOT_QCOW2, MALFORMED
 */
export function readHeader(path: string, bytes: Uint8Array): Header {
  if (!isQcow2(bytes)) {
    throw new ImageError('NOT_QCOW2', path, ['not a qcow2 image: its magic is missing']);
  }
  const header = parse(path, bytes);
  enforce(path, header, READABLE_UNLESS);
  if (header.headerLength > 104) header.compressionType = bytes[104] ?? 0;
  enforce(path, header, MALFORMED_UNLESS);
  return header;
}

function parse(path: string, bytes: Uint8Array): Header {
  try {
    const from = new Reader(bytes);
    const head = version2.read(from);
    const more = head.version >= 3 ? version3.read(from) : { ...VERSION_2_MEANS };
    return { ...head, ...more, compressionType: 0 };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new ImageError('MALFORMED', path, [`the qcow2 header is cut short (${error.message})`]);
  }
}

function enforce(path: string, header: Header, rules: Rules<Header>): void {
  const found = broken(rules, header);
  if (found.length === 0) return;
  throw new ImageError(
    'MALFORMED',
    path,
    found.map(rule => `not so: ${rule}`),
    'restore the image from a backup, or examine it with qemu-img check',
  );
}

/** What an image is opened for. 'repair' allows images that are marked as damaged. */
export type Purpose = 'read' | 'write' | 'repair';

/**
 * Refuses an image with unsupported features, each by its name.
 * @param nameOf the image's own name of an incompatible feature bit, if it has one
 * @throws ImageError UNSUPPORTED, MALFORMED, DAMAGED
 */
export function demandSupport(
  path: string,
  header: Header,
  purpose: Purpose,
  nameOf: (bit: number) => string | undefined,
): void {
  const missing = broken(SUPPORTED, header);
  for (let bit = 0; bit < 64; bit += 1) {
    if (!has(header, (1n << BigInt(bit)) & ~KNOWN)) continue;
    missing.push(`unknown incompatible feature: ${nameOf(bit) ?? `bit ${bit}`}`);
  }
  if (missing.length > 0) throw new ImageError('UNSUPPORTED', path, missing);
  if (purpose === 'repair') return;
  if (header.refcountTableClusters === 0) {
    const missing = ['not so: there is a refcount table'];
    throw new ImageError('MALFORMED', path, missing, 'a repair of the image makes one');
  }
  if (purpose === 'write' && has(header, INCOMPATIBLE.corrupt)) {
    throw new ImageError(
      'DAMAGED',
      path,
      ['the image is marked corrupt and cannot be opened for writing'],
      'open it read-only to save its contents, then repair it',
    );
  }
}

/** The header as it lies in the file. Bytes beyond 112 of a longer header are not touched. */
export function writeHeader(header: Header): Uint8Array {
  const whole = new Uint8Array(header.version === 2 ? VERSION_2_BYTES : VERSION_3_BYTES);
  whole.set(encode(version2, header));
  if (header.version >= 3) {
    whole.set(encode(version3, header), VERSION_2_BYTES);
    whole.set(encode(u8, header.compressionType), 104);
  }
  return header.version === 2 ? whole : whole.subarray(0, Math.min(header.headerLength, 112));
}

export { MAGIC };
