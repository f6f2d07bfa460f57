/**
 * New qcow2 images, laid out as `qemu-img create` does it: header, refcount table, refcount block,
 * L1 table, each in a cluster of its own.
 * @module
 */
import { unlinkSync } from 'node:fs';
import type { LockDriver } from '../../lock/lock.js';
import { concat } from '../../wire/codec.js';
import { openFile, syncFolderOf } from '../file.js';
import { bdrv_lock } from '../lock.js';
import { type BlockNode, ImageError } from '../node.js';
import { featureNames, writeExtensions } from './extensions.js';
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
}

export interface CreateQcow2Options extends FormatQcow2Options {
  /** Whether a file that is there may be replaced. */
  readonly overwrite?: boolean;
  readonly lockDriver?: LockDriver;
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
    // A file that somebody uses is not overwritten.
    if (options.overwrite) bdrv_lock(file, { timeoutMs: 0 });
    format(file, header, options);
  } catch (error) {
    if (!options.overwrite) unlinkSync(path);
    throw error;
  } finally {
    file.close();
  }
  syncFolderOf(path);
}

function openOrMake(path: string, lock: { lockDriver?: LockDriver }): BlockNode {
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
export function formatQcow2(file: BlockNode, options: FormatQcow2Options): void {
  format(file, headerOf(file.path, options), options);
}

function format(file: BlockNode, header: Header, options: FormatQcow2Options): void {
  const clusterSize = 2 ** header.clusterBits;
  file.truncate(0);
  const extensions = header.version === 2 ? [] : [featureNames()];
  const table = new DataView(new ArrayBuffer(clusterSize));
  table.setBigUint64(0, BigInt(2 * clusterSize));
  const counts = new DataView(new ArrayBuffer(clusterSize));
  for (let cluster = 0; cluster < 3; cluster += 1) {
    WIDTHS[header.refcountOrder]!.set(counts, cluster, 1);
  }
  const head = new Uint8Array(clusterSize);
  head.set(concat(writeHeader(header), writeExtensions(extensions)));
  file.write(0, concat(head, new Uint8Array(table.buffer), new Uint8Array(counts.buffer)));
  // The rest is growing a disk of no size: an L1 table is allocated as it always is.
  const image = openQcow2(file);
  if (options.size > 0) image.truncate(options.size);
  image.flush();
}

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
    'lazy refcounts need version 3':                  version !== 2 || !options.lazyRefcounts,
  };
  const broken = Object.keys(rules).filter(rule => !rules[rule]);
  if (broken.length > 0) {
    throw new ImageError(
      'ERR_IMAGE_UNSUPPORTED',
      path,
      broken.map(rule => `cannot be made unless ${rule}`),
    );
  }
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
