/**
 * New qcow2 images, laid out as `qemu-img create` does it: header, refcount table, refcount block,
 * L1 table, each in a cluster of its own.
 * @module
 */
import { unlinkSync } from 'node:fs';
import type { LockDriverFor } from '../../lock/lock.js';
import { concat } from '../../wire/codec.js';
import { openFile, syncFolderOf } from '../file.js';
import { withLock } from '../lock.js';
import { ImageError, type LockedNode, type ProtocolNode } from '../node.js';
import { EXTENSION, featureNames, writeExtensions } from './extensions.js';
import { type Header, MAGIC, VERSION_2_BYTES, VERSION_3_BYTES, writeHeader } from './header.js';
import { openQcow2 } from './node.js';
import { WIDTHS } from './refcount-width.js';

export interface FormatQcow2Options {
  /** Of the guest's disk, in bytes; rounded up to a multiple of 512. */
  readonly size: number;
  /** 2 (compat=0.10) or 3, the default. */
  readonly version?: 2 | 3;
  /** 9 (512 bytes) to 21 (2 MiB). Default 16. */
  readonly clusterBits?: number;
  /** 1, 2, 4, 8, 16 (the default, and all that version 2 has), 32 or 64. */
  readonly refcountBits?: number;
  /** Sets the feature bit, for QEMU's sake; our own refcounts are never late. */
  readonly lazyRefcounts?: boolean;
  /**
   * What is set aside at once: nothing (off), every cluster and its metadata (metadata), and the
   * space on the host too (falloc, full: both write zeros, since Node has no fallocate).
   */
  readonly preallocation?: 'off' | 'metadata' | 'falloc' | 'full';
  /** Makes an overlay: what this image does not have shows through from there. */
  readonly backing?: {
    /** As it is to stand in the image: a relative name starts at the image's folder. */
    readonly name: string;
    readonly format: 'qcow2' | 'raw';
  };
}

export interface CreateQcow2Options extends FormatQcow2Options {
  /** Whether a file that is there may be replaced. */
  readonly overwrite?: boolean;
  readonly lockDriver?: LockDriverFor;
}

/**
 * Makes a new image file with mode 0600, durable when this returns.
 * @throws IoError (EEXIST unless `overwrite`), LockError LOCKED, ImageError UNSUPPORTED
 */
export function createQcow2(path: string, options: CreateQcow2Options): void {
  const header = headerOf(path, options);
  const lock = options.lockDriver === undefined ? {} : { lockDriver: options.lockDriver };
  const file = options.overwrite
    ? openOrMake(path, lock)
    : openFile(path, { create: 'new', ...lock });
  try {
    // A file that another process uses is not overwritten.
    format(file, header, options);
  } catch (error) {
    if (!options.overwrite) unlinkSync(path);
    throw error;
  } finally {
    file.close();
  }
  syncFolderOf(path);
}

function openOrMake(path: string, lock: { lockDriver?: LockDriverFor }): ProtocolNode {
  try {
    return openFile(path, { create: 'new', ...lock });
  } catch {
    return openFile(path, lock);
  }
}

/**
 * Makes what is in `file` an empty image. Everything that was there is lost.
 * @throws ImageError UNSUPPORTED, IoError
 */
export function formatQcow2(file: ProtocolNode, options: FormatQcow2Options): void {
  format(file, headerOf(file.path, options), options);
}

function format(file: ProtocolNode, header: Header, options: FormatQcow2Options): void {
  withLock(file, { timeoutMs: 0 }, disk => {
    writeMetadata(disk, header, options);
    fillDisk(file, options);
  });
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
  // The names of features are for people: where a small cluster has no room, they are left out.
  const full = writeExtensions(named);
  const fits = header.headerLength + full.length + name.length <= clusterSize;
  const extensions = fits ? full : writeExtensions(needed);
  const placed: Header = { ...header, backingFileSize: name.length };
  if (name.length > 0) placed.backingFileOffset = header.headerLength + extensions.length;
  const table = new DataView(new ArrayBuffer(clusterSize));
  table.setBigUint64(0, BigInt(2 * clusterSize));
  const counts = new DataView(new ArrayBuffer(clusterSize));
  for (let cluster = 0; cluster < 3; cluster += 1) {
    WIDTHS[header.refcountOrder]!.set(counts, cluster, 1);
  }
  const head = new Uint8Array(clusterSize);
  const start = concat(writeHeader(placed), extensions, name);
  if (start.length > clusterSize || name.length > 1023) {
    throw cannot(disk.path, ['the backing file name and the header fit into a cluster']);
  }
  head.set(start);
  disk.write(0, concat(head, new Uint8Array(table.buffer), new Uint8Array(counts.buffer)));
}

/** The rest is growing a disk of no size: an L1 table is allocated as it always is. */
function fillDisk(file: ProtocolNode, { size, preallocation = 'off' }: FormatQcow2Options): void {
  const image = openQcow2(file);
  withLock(image, undefined, disk => {
    if (size > 0) disk.truncate(size);
    if (preallocation !== 'off') image.preallocate();
    disk.flush();
    if (preallocation === 'falloc' || preallocation === 'full') fill(disk);
  });
}

/** Takes the space of all data clusters, by writing the zeros that they read as. */
function fill(image: LockedNode): void {
  const zeros = new Uint8Array(2 ** 20);
  for (let at = 0; at < image.length; at += zeros.length) {
    image.write(at, zeros.subarray(0, Math.min(zeros.length, image.length - at)));
  }
  image.flush();
}

const cannot = (path: string, broken: readonly string[]): ImageError =>
  new ImageError(
    'UNSUPPORTED',
    path,
    broken.map(rule => `cannot be made unless ${rule}`),
  );

function headerOf(path: string, options: FormatQcow2Options): Header {
  const { size, version = 3, clusterBits = 16, refcountBits = 16 } = options;
  const refcountOrder = Math.log2(refcountBits);
  // biome-ignore format: table
  const rules: Readonly<Record<string, boolean>> = {
    'the size is a whole number of bytes from 0 on':  Number.isSafeInteger(size) && size >= 0,
    'the version is 2 or 3':                          version === 2 || version === 3,
    'the cluster size is a power of two, 512 to 2 MiB':
                                                      Number.isInteger(clusterBits) && clusterBits >= 9 && clusterBits <= 21,
    'the refcount width is a power of two, 1 to 64 bits':
                                                      Number.isInteger(refcountOrder) && refcountOrder >= 0 && refcountOrder <= 6,
    'refcounts of version 2 have 16 bits':            version !== 2 || refcountBits === 16,
    'a preallocated image has no backing file':       options.backing === undefined || (options.preallocation ?? 'off') === 'off',
    'lazy refcounts need version 3':                  version !== 2 || !options.lazyRefcounts,
  };
  const broken = Object.keys(rules).filter(rule => !rules[rule]);
  if (broken.length > 0) throw cannot(path, broken);
  return {
    magic: MAGIC,
    version,
    backingFileOffset: 0,
    backingFileSize: 0,
    clusterBits,
    size: 0,
    cryptMethod: 0,
    l1Size: 0,
    l1TableOffset: 0,
    refcountTableOffset: 2 ** clusterBits,
    refcountTableClusters: 1,
    snapshotCount: 0,
    snapshotsOffset: 0,
    incompatible: 0n,
    compatible: options.lazyRefcounts ? 1n : 0n,
    autoclear: 0n,
    refcountOrder,
    headerLength: version === 2 ? VERSION_2_BYTES : VERSION_3_BYTES,
    compressionType: 0,
  };
}
