/**
 * Setting up a store on a disk that is proven to be empty.
 * @module
 */
import type { BlockNode, LockedNode } from '../block/node.js';
import { judge, locked, type StoreOptions } from './cycle.js';
import { NvramError } from './errors.js';
import {
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MIN,
  BLOB_BYTES_DEFAULT,
  encodeDirectory,
  encodeMark,
  MARK_OFFSET,
  PAGE_BYTES,
  SLOT_OFFSETS,
  UNSEALED,
} from './layout.js';
import { type Key, Seal } from './seal.js';

export interface FormatOptions extends StoreOptions {
  /** Random bytes, for the uuid and for sealing. */
  readonly entropy: (length: number) => Uint8Array;
  /** Bytes to set aside; a multiple of 4096, at least 256 KiB. Default 1 MiB, or the whole disk if smaller. */
  readonly areaLength?: number;
  /** The most bytes that one blob may have. Default 256 KiB. */
  readonly blobLimit?: number;
  /** How many older states are kept for restore(). Default 0. */
  readonly keep?: number;
  /** Seals the store. */
  readonly key?: Key;
}

/** More would not fit a directory together with what is current. */
export const KEEP_MAX = 12;

/**
 * Sets up a store on a disk that is proven to be empty. The whole area is written once, so that the
 * image allocates it now and no later commit touches the image's own metadata.
 * @throws NvramError whatever the disk is, if it is not empty
 */
export function formatStore(node: BlockNode, options: FormatOptions): void {
  locked(node, options, disk => {
    mustBeBlank(disk, options);
    const areaLength = areaOf(disk, options);
    const uuid = options.entropy(16);
    const sealing =
      options.key === undefined ? UNSEALED : Seal.fresh(options.key, uuid, options.entropy).sealing;
    const step = new Uint8Array(SLOT_OFFSETS[1]);
    for (let at = 0; at < areaLength; at += step.length) {
      disk.write(at, step.subarray(0, Math.min(step.length, areaLength - at)));
    }
    disk.flush();
    // A directory without blobs keeps to one sector, so it lands whole or not at all.
    const head = encodeDirectory({
      uuid,
      generation: 1,
      epoch: 0,
      born: 0,
      areaLength,
      blobLimit: options.blobLimit ?? BLOB_BYTES_DEFAULT,
      keep: options.keep ?? 0,
      unscrubbed: false,
      sealing,
      entries: [],
    });
    disk.write(SLOT_OFFSETS[0], head);
    disk.flush();
    disk.write(MARK_OFFSET, encodeMark({ state: 'clean', uuid, generation: 1, epoch: 0 }));
    disk.flush();
  });
}

function mustBeBlank(node: LockedNode, options: FormatOptions): void {
  const found = judge(node, options);
  if (found.verdict === 'EMPTY' && found.state === undefined) return;
  const code = found.verdict === 'OK' || found.verdict === 'EMPTY' ? 'FORMATTED' : found.verdict;
  throw new NvramError(code, node.path, [...found.findings, 'there is a store in it already']);
}

function areaOf(node: LockedNode, options: FormatOptions): number {
  const whole = Math.floor(node.length / PAGE_BYTES) * PAGE_BYTES;
  const length = options.areaLength ?? Math.min(AREA_BYTES_DEFAULT, whole);
  if (length >= AREA_BYTES_MIN && length <= node.length && length % PAGE_BYTES === 0) return length;
  const why = `a store of ${length} bytes does not fit the disk of ${node.length}`;
  throw new NvramError('TOO_SMALL', node.path, [why]);
}
