/**
 * Setting up a store on a disk that is proven to be empty.
 * @module
 */
import type { LockedNode } from '../../block/node.js';
import { NvramError } from '../errors.js';
import { BLOB_BYTES_DEFAULT, BLOB_BYTES_MAX } from '../store.js';
import { tag } from './activate.js';
import { BlobCipher, type Entropy } from './cipher.js';
import { inspect } from './inspect.js';
import { Keyring } from './keyring.js';
import {
  ACK_RECORD_OFFSET,
  type AckRecord,
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MAX,
  AREA_BYTES_MIN,
  type Directory,
  HISTORY_LENGTH_MAX,
  NO_ENCRYPTION,
  PAGE_BYTES,
  SECTOR_BYTES,
  SLOT_OFFSETS,
  UUID_BYTES,
} from './layout.js';
import { Opened, type OpenStoreOptions } from './opened.js';
import { encodeAckRecord, encodeDirectory } from './pages.js';
import { headOf } from './slots.js';
import { faultOf } from './verdict.js';

/** What a new store is like. */
export interface FormatOptions extends OpenStoreOptions {
  /** Random bytes, for the uuid and for encryption. */
  readonly entropy: Entropy;
  /**
   * Bytes to set aside; a multiple of 4096, 256 KiB to 512 MiB. Default 1 MiB, or the whole disk if
   * smaller.
   */
  readonly areaLength?: number;
  /** The most bytes that one blob may have, up to 4 MiB. Default 256 KiB. */
  readonly blobLimit?: number;
  /** How many older states are kept for restore(), 0 to 12. Default 0. */
  readonly historyLength?: number;
}

/**
 * Sets up a store on a disk that is proven to be empty: `create`. An image with a header must prove it
 * by its header; a raw disk, by zeros.
 * @throws NvramError FORMATTED, or the outcome that the disk has if it is not empty; ImageError; IoError;
 *   RangeError for options out of range
 */
export function formatStore(disk: LockedNode, options: FormatOptions): void {
  const found = inspect(disk, new Keyring(undefined), options.trace);
  const fault = faultOf(disk.path, found);
  if (found.verdict === 'OK' || found.state !== undefined) {
    throw new NvramError('FORMATTED', disk.path, ['there is a store in it already']);
  }
  if (fault !== undefined) throw fault;
  writeFormat(disk, options).wipe();
}

/**
 * Formats a disk that was proven to be empty, under the same lock. The whole area is written once, so
 * that the image allocates it now and no later commit touches the image's own metadata. A power cut
 * leaves a disk that is still empty, or one with an empty store; the tag comes last, since a tag without
 * a store counts as loss.
 * @throws NvramError TOO_SMALL; IoError; RangeError
 */
export function writeFormat(disk: LockedNode, options: FormatOptions): Opened {
  const areaLength = areaOf(disk, options);
  const { blobLimit = BLOB_BYTES_DEFAULT, historyLength = 0, key, entropy } = options;
  demandRange('blobLimit', blobLimit, 1, BLOB_BYTES_MAX);
  demandRange('historyLength', historyLength, 0, HISTORY_LENGTH_MAX);
  const uuid = entropy(UUID_BYTES);
  const fresh = key === undefined ? undefined : BlobCipher.fresh(key, uuid, entropy);
  const directory: Directory = {
    uuid,
    generation: 1,
    epoch: 0,
    firstBlobGeneration: 0,
    areaLength,
    blobLimit,
    historyLength,
    unscrubbed: false,
    encryption: fresh?.encryption ?? NO_ENCRYPTION,
    entries: [],
  };
  const ackRecord: AckRecord = { state: 'clean', uuid, generation: 1, epoch: 0 };
  const page = encodeDirectory(directory, fresh?.cipher);
  writeZeros(disk, areaLength);
  disk.flush();
  // A directory without blobs keeps to one sector, so it lands whole or not at all.
  disk.write(SLOT_OFFSETS[0], page);
  disk.flush();
  disk.write(ACK_RECORD_OFFSET, encodeAckRecord(ackRecord));
  disk.flush();
  const heads = [headOf(page), new Uint8Array(SECTOR_BYTES)] as const;
  const state = { slot: 0, directory, heads, ackRecord, older: [] } as const;
  const opened = new Opened(disk.node, options, state, fresh?.cipher);
  tag(disk, opened);
  return opened;
}

function writeZeros(disk: LockedNode, length: number): void {
  const step = new Uint8Array(SLOT_OFFSETS[1]);
  for (let at = 0; at < length; at += step.length) {
    disk.write(at, step.subarray(0, Math.min(step.length, length - at)));
  }
}

function areaOf(disk: LockedNode, options: FormatOptions): number {
  const whole = Math.floor(disk.length / PAGE_BYTES) * PAGE_BYTES;
  const length = options.areaLength ?? Math.min(AREA_BYTES_DEFAULT, whole);
  if (length % PAGE_BYTES !== 0) throw new RangeError(`areaLength ${length} is not whole pages`);
  demandRange('areaLength', length, AREA_BYTES_MIN, AREA_BYTES_MAX);
  if (length <= disk.length) return length;
  const why = `a store of ${length} bytes does not fit the disk of ${disk.length}`;
  throw new NvramError('TOO_SMALL', disk.path, [why]);
}

function demandRange(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} is ${value}; it is ${min} to ${max}`);
}
