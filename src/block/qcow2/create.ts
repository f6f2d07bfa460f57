/**
 * New qcow2 images, laid out as `qemu-img create` does it: header, refcount table, refcount block,
 * L1 table, each in a cluster of its own.
 * @module
 */
import { broken, type Rules } from '../../rules.js';
import { concat } from '../../wire/codec.js';
import { withLock } from '../lock.js';
import { ImageError, type LockedNode, type ProtocolNode } from '../node.js';
import { EXTENSION, featureNames, writeExtensions } from './extensions.js';
import { type Header, MAGIC, VERSION_2_BYTES, VERSION_3_BYTES, writeHeader } from './header.js';
import { openQcow2, Qcow2Node } from './node.js';
import { widthOf } from './refcount-width.js';
import { hostOffset } from './units.js';

/** The properties of a new qcow2 image, as `qemu-img create -o` has them. */
export interface FormatQcow2Options {
  /** Of the guest's disk, in bytes; rounded up to a multiple of 512. */
  readonly size: number;
  /** 2 (compat=0.10) or 3, the default. */
  readonly version?: 2 | 3;
  /** 9 (512 bytes) to 21 (2 MiB). Default 16. */
  readonly clusterBits?: number;
  /** 1, 2, 4, 8, 16 (the default, and all that version 2 has), 32 or 64. */
  readonly refcountBits?: number;
  /** Sets the feature bit, for QEMU only: here refcounts are always written eagerly. */
  readonly lazyRefcounts?: boolean;
  /**
   * What is allocated at once: nothing (off), every cluster and its metadata (metadata), or the space
   * on the host as well (falloc, full: both write zeros, since Node has no fallocate).
   */
  readonly preallocation?: 'off' | 'metadata' | 'falloc' | 'full';
  /** Makes an overlay: what is not allocated in this image shows through from there. */
  readonly backing?: {
    /** As the image has it: a relative name starts at the image's folder. */
    readonly name: string;
    readonly format: 'qcow2' | 'raw';
  };
}

/**
 * Makes what is in `file` an empty image. Everything that was there is lost.
 * @throws ImageError UNSUPPORTED, IoError
 */
export function formatQcow2(file: ProtocolNode, options: FormatQcow2Options): void {
  const header = headerOf(file.path, options);
  withLock(file, { timeoutMs: 0 }, disk => format(disk, file, header, options));
}

function format(
  disk: LockedNode,
  file: ProtocolNode,
  header: Header,
  options: FormatQcow2Options,
): void {
  writeMetadata(disk, header, options);
  // The rest is growing a disk of no size.
  withLock(openQcow2(file), { timeoutMs: 0 }, image => fillDisk(image, options));
}

function writeMetadata(disk: LockedNode, header: Header, options: FormatQcow2Options): void {
  const clusterSize = 2 ** header.clusterBits;
  disk.truncate(0);
  const encoder = new TextEncoder();
  const { backing } = options;
  const format = { type: EXTENSION.backingFormat, data: encoder.encode(backing?.format) };
  const needed = backing === undefined ? [] : [format];
  const named = header.version === 2 ? needed : [...needed, featureNames()];
  const name = encoder.encode(backing?.name);
  // The names of features are for people only: a small cluster that has no room goes without.
  const full = writeExtensions(named);
  const fits = header.headerLength + full.length + name.length <= clusterSize;
  const extensions = fits ? full : writeExtensions(needed);
  const placed: Header = { ...header, backingFileSize: name.length };
  if (name.length > 0)
    placed.backingFileOffset = hostOffset(header.headerLength + extensions.length);
  const table = new DataView(new ArrayBuffer(clusterSize));
  table.setBigUint64(0, BigInt(2 * clusterSize));
  const counts = new DataView(new ArrayBuffer(clusterSize));
  for (let cluster = 0; cluster < 3; cluster += 1) {
    widthOf(header.refcountOrder).set(counts, cluster, 1);
  }
  const head = new Uint8Array(clusterSize);
  const start = concat(writeHeader(placed), extensions, name);
  if (start.length > clusterSize || name.length > 1023) {
    throw cannot(disk.path, ['the backing file name and the header fit into a cluster']);
  }
  head.set(start);
  disk.write(0, concat(head, new Uint8Array(table.buffer), new Uint8Array(counts.buffer)));
}

function fillDisk(image: LockedNode, { size, preallocation = 'off' }: FormatQcow2Options): void {
  if (size > 0) image.truncate(size);
  if (preallocation !== 'off') Qcow2Node.diskOf(image)?.allocate(0, image.length);
  image.flush();
  if (preallocation === 'falloc' || preallocation === 'full') fill(image);
}

/** Takes the space of all data clusters, by writing the zeros that they read as. */
function fill(image: LockedNode): void {
  const zeros = new Uint8Array(2 ** 20);
  for (let at = 0; at < image.length; at += zeros.length) {
    image.write(at, zeros.subarray(0, Math.min(zeros.length, image.length - at)));
  }
  image.flush();
}

const cannot = (path: string, rules: readonly string[]): ImageError =>
  new ImageError(
    'UNSUPPORTED',
    path,
    rules.map(rule => `cannot be made unless ${rule}`),
  );

type Wanted = Required<Pick<FormatQcow2Options, 'size' | 'clusterBits' | 'refcountBits'>> &
  FormatQcow2Options & { readonly version: number; readonly refcountOrder: number };

const isWithin = (value: number, low: number, high: number): boolean =>
  Number.isInteger(value) && value >= low && value <= high;

// biome-ignore format: table
const MADE_UNLESS: Rules<Wanted> = {
  'the size is a whole number of bytes from 0 on':     o => Number.isSafeInteger(o.size) && o.size >= 0,
  'the version is 2 or 3':                             o => o.version === 2 || o.version === 3,
  'the cluster size is a power of two, 512 to 2 MiB':  o => isWithin(o.clusterBits, 9, 21),
  'the refcount width is a power of two, 1 to 64 bits': o => isWithin(o.refcountOrder, 0, 6),
  'refcounts of version 2 have 16 bits':               o => o.version !== 2 || o.refcountBits === 16,
  'a preallocated image has no backing file':          o => o.backing === undefined || (o.preallocation ?? 'off') === 'off',
  'lazy refcounts need version 3':                     o => o.version !== 2 || !o.lazyRefcounts,
};

function headerOf(path: string, options: FormatQcow2Options): Header {
  const { size, version = 3, clusterBits = 16, refcountBits = 16 } = options;
  const refcountOrder = Math.log2(refcountBits);
  const wanted = { ...options, size, version, clusterBits, refcountBits, refcountOrder };
  const found = broken(MADE_UNLESS, wanted);
  if (found.length > 0) throw cannot(path, found);
  return {
    magic: MAGIC,
    version,
    backingFileOffset: hostOffset(0),
    backingFileSize: 0,
    clusterBits,
    size: 0,
    cryptMethod: 0,
    l1Size: 0,
    l1TableOffset: hostOffset(0),
    refcountTableOffset: hostOffset(2 ** clusterBits),
    refcountTableClusters: 1,
    snapshotCount: 0,
    snapshotsOffset: hostOffset(0),
    incompatible: 0n,
    compatible: options.lazyRefcounts ? 1n : 0n,
    autoclear: 0n,
    refcountOrder,
    headerLength: version === 2 ? VERSION_2_BYTES : VERSION_3_BYTES,
    compressionType: 0,
  };
}
