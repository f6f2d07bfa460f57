/**
 * A directory as a page and the acknowledgement record as a sector, with digest and MAC.
 * @module
 */
import { createHash, hash, timingSafeEqual } from 'node:crypto';
import { decode, encode, equal, u32, WireError } from '../../wire/codec.js';
import {
  ACK_MAGIC,
  ACK_STATES,
  type AckRecord,
  ackHead,
  DIGEST_BYTES,
  DIGEST_OFFSET,
  DIRECTORY_MAGIC,
  type Directory,
  directoryEntry,
  directoryHead,
  ENTRY_BYTES,
  HEAD_BYTES,
  MAC_BYTES,
  MAC_OFFSET,
  PAGE_BYTES,
  REVISION,
  REVISION_OFFSET,
  SECTOR_BYTES,
} from './layout.js';

/** What was found where a directory or an acknowledgement record belongs. */
export type Parsed<T> =
  | { readonly is: 'blank' }
  | { readonly is: 'other revision'; readonly revision: number }
  | { readonly is: 'broken'; readonly why: string }
  | { readonly is: 'sound'; readonly value: T };

/** Computes the MAC of a page whose digest and MAC are zeros. */
export interface Authenticator {
  mac(page: Uint8Array): Uint8Array;
}

export const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(hash('sha256', data, 'buffer'));

const STEP_BYTES = 64 * 1024;

/** The SHA-256 of a stretch of a disk, read in steps: memory does not grow with `length`. */
export function sha256Of(
  disk: { read(offset: number, length: number): Uint8Array },
  offset: number,
  length: number,
): Uint8Array {
  if (length <= STEP_BYTES) return sha256(disk.read(offset, length));
  const digest = createHash('sha256');
  for (let done = 0; done < length; done += STEP_BYTES) {
    digest.update(disk.read(offset + done, Math.min(STEP_BYTES, length - done)));
  }
  return new Uint8Array(digest.digest());
}

/**
 * @param key authenticates the page; undefined for a store that is not encrypted
 * @param slot a page to write over, for callers that make many of them
 */
export function encodeDirectory(
  directory: Directory,
  key: Authenticator | undefined,
  slot: Uint8Array = new Uint8Array(PAGE_BYTES),
): Uint8Array {
  const { entries, ...head } = directory;
  slot.fill(0);
  slot.set(
    encode(directoryHead, {
      ...head,
      magic: DIRECTORY_MAGIC,
      revision: REVISION,
      entryCount: entries.length,
      digest: new Uint8Array(DIGEST_BYTES),
      reserved1: 0,
      mac: new Uint8Array(MAC_BYTES),
      reserved2: new Uint8Array(44),
    }),
  );
  entries.forEach((entry, index) => {
    slot.set(encode(directoryEntry, entry), entryOffset(index));
  });
  if (key !== undefined) slot.set(key.mac(slot), MAC_OFFSET);
  return stamp(slot);
}

const entryOffset = (index: number): number => HEAD_BYTES + index * ENTRY_BYTES;

export function readDirectory(slot: Uint8Array): Parsed<Directory> {
  return parse(slot, DIRECTORY_MAGIC, () => {
    const head = decode(directoryHead, slot.subarray(0, HEAD_BYTES));
    const entries = Array.from({ length: head.entryCount }, (_, index) => {
      const at = entryOffset(index);
      return decode(directoryEntry, slot.subarray(at, at + ENTRY_BYTES));
    });
    const { magic, revision, entryCount, digest, mac, reserved1, reserved2, ...fields } = head;
    return { ...fields, entries };
  });
}

/** Whether a directory's page was written with this key. */
export function isAuthentic(slot: Uint8Array, key: Authenticator): boolean {
  const page = slot.slice();
  page.fill(0, DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  page.fill(0, MAC_OFFSET, MAC_OFFSET + MAC_BYTES);
  return timingSafeEqual(key.mac(page), slot.subarray(MAC_OFFSET, MAC_OFFSET + MAC_BYTES));
}

export function encodeAckRecord(record: AckRecord): Uint8Array {
  const sector = new Uint8Array(SECTOR_BYTES);
  sector.set(
    encode(ackHead, {
      ...record,
      magic: ACK_MAGIC,
      revision: REVISION,
      reserved: 0,
      state: ACK_STATES.indexOf(record.state),
      digest: new Uint8Array(DIGEST_BYTES),
    }),
  );
  return stamp(sector);
}

export function readAckRecord(sector: Uint8Array): Parsed<AckRecord> {
  return parse(sector, ACK_MAGIC, () => {
    const { state, uuid, generation, epoch } = decode(ackHead, sector.subarray(0, ackHead.size!));
    return { state: ACK_STATES[state]!, uuid, generation, epoch };
  });
}

function stamp(page: Uint8Array): Uint8Array {
  page.set(sha256(page), DIGEST_OFFSET);
  return page;
}

/**
 * The digest is checked before any field is believed, the revision included: a flipped byte in the
 * revision is corruption and not another format.
 */
function parse<T>(page: Uint8Array, magic: Uint8Array, fields: () => T): Parsed<T> {
  if (isBlank(page)) return { is: 'blank' };
  if (!equal(page.subarray(0, magic.length), magic)) {
    return { is: 'broken', why: 'its magic is wrong' };
  }
  const unstamped = page.slice();
  unstamped.fill(0, DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  const digest = page.subarray(DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  if (!equal(sha256(unstamped), digest)) return { is: 'broken', why: 'its digest is wrong' };
  const revision = decode(u32, page.subarray(REVISION_OFFSET, REVISION_OFFSET + 4));
  if (revision !== REVISION) return { is: 'other revision', revision };
  try {
    return { is: 'sound', value: fields() };
  } catch (error) {
    if (error instanceof WireError) return { is: 'broken', why: error.message };
    throw error;
  }
}

const ZEROS = new Uint8Array(PAGE_BYTES);

/** Whether all bytes are zero. */
export function isBlank(data: Uint8Array): boolean {
  for (let at = 0; at < data.length; at += ZEROS.length) {
    const part = data.subarray(at, at + ZEROS.length);
    if (!equal(part, ZEROS.subarray(0, part.length))) return false;
  }
  return true;
}
