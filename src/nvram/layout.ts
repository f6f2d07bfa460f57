/**
 * Where everything of a store lies on the guest-visible disk, and what it looks like: the tables of
 * docs/on-disk.md. Numbers are big-endian, as in qcow2 and in the TPM.
 *
 *     0 KiB    directory slot 0    64 KiB   directory slot 1    128 KiB  acknowledged mark
 *     4 KiB    its half's extents  68 KiB   its half's extents  132 KiB  pool of extents
 *
 * A directory lies beside the extents of its half, so that a commit which changes one blob is one
 * contiguous write.
 * @module
 */
import { hash } from 'node:crypto';
import {
  bool,
  bytes,
  type Codec,
  checked,
  decode,
  encode,
  equal,
  layout,
  type Of,
  u8,
  u16,
  u32,
  u64,
  WireError,
} from '../wire/codec.js';

/** What a disk writes whole or not at all. The mark keeps to one of these. */
export const SECTOR_BYTES = 512;
/** Slots and extents start on multiples of this, the page size of the host. */
export const PAGE_BYTES = 4096;
/** The distance between the two directory slots. */
export const HALF_BYTES = 64 * 1024;
export const SLOT_OFFSETS = [0, HALF_BYTES] as const;
export type SlotIndex = 0 | 1;
export const MARK_OFFSET = 2 * HALF_BYTES;
/** Where the extents that belong to neither half begin. */
export const POOL_OFFSET = MARK_OFFSET + PAGE_BYTES;
/** The smallest store: the halves, the mark, and a pool for the largest TPM 1.2 state (twice). */
export const AREA_BYTES_MIN = 256 * 1024;
/** What `create` sets aside unless told otherwise. An area grows where its disk has room. */
export const AREA_BYTES_DEFAULT = 1024 * 1024;
/** The largest blob unless told otherwise: room for the state of a TPM 2.0. */
export const BLOB_BYTES_DEFAULT = 256 * 1024;
/** The format that this code writes, and the newest that it reads. */
export const REVISION = 1;

const DIRECTORY_MAGIC = ascii('nvtpmdir');
const MARK_MAGIC = ascii('nvtpmack');
const NAME_BYTES = 16;
const DIGEST_BYTES = 32;
/** In both the directory and the mark, and in every revision to come. */
const DIGEST_OFFSET = 16;

const magic = (expected: Uint8Array): Codec<Uint8Array> =>
  checked(bytes(expected.length), value => equal(value, expected));

/** A name in ASCII, padded with zeros to its field. */
const blobName: Codec<string> = {
  size: NAME_BYTES,
  read: from => named(Buffer.from(from.take(NAME_BYTES)).toString('latin1').replace(/\0+$/, '')),
  write(to, value) {
    const field = new Uint8Array(NAME_BYTES);
    field.set(ascii(named(value)));
    to.put(field);
  },
};

function named(text: string): string {
  if (isBlobName(text)) return text;
  throw new WireError('VALUE', `${JSON.stringify(text)} is not the name of a blob`);
}

/** Whether a store can hold a blob of that name: 1 to 16 of a-z, 0-9, dot, dash. */
export const isBlobName = (name: string): boolean => /^[a-z0-9][a-z0-9.-]{0,15}$/.test(name);

const HEAD_BYTES = 256;
const ENTRY_BYTES = 80;
/** How many blobs a directory has room for, those of kept generations included. */
export const ENTRIES_MAX = Math.floor((PAGE_BYTES - HEAD_BYTES) / ENTRY_BYTES);

/** How a store is sealed. */
export const SEALING_KINDS = ['none', 'key', 'password'] as const;
export type SealingKind = (typeof SEALING_KINDS)[number];

// biome-ignore format: table
const sealing = layout(0, 76, {
  kind:        [  0, checked(u8, n => n < SEALING_KINDS.length)],  // An index into SEALING_KINDS.
  costLog2:    [  1, u8],                   // scrypt: N is 2 to this, then r and p (RFC 7914).
  blockSize:   [  2, u8],
  parallel:    [  3, u8],
  salt:        [  4, bytes(16)],
  checkNonce:  [ 20, bytes(24)],            // The uuid, sealed: whoever opens it has the key.
  check:       [ 44, bytes(32)],
});
export type Sealing = Readonly<Of<typeof sealing>>;

/** Nothing is sealed. */
export const UNSEALED: Sealing = {
  kind: 0,
  costLog2: 0,
  blockSize: 0,
  parallel: 0,
  salt: new Uint8Array(16),
  checkNonce: new Uint8Array(24),
  check: new Uint8Array(32),
};

// biome-ignore format: table
const directoryHead = layout(0, HEAD_BYTES, {
  magic:       [  0, magic(DIRECTORY_MAGIC)],
  revision:    [  8, u32],
  entryCount:  [ 12, checked(u32, n => n <= ENTRIES_MAX)],
  digest:      [ 16, bytes(DIGEST_BYTES)],  // SHA-256 of the slot, this field taken as zeros.
  uuid:        [ 48, bytes(16)],
  generation:  [ 64, u64],                  // One more with every commit.
  epoch:       [ 72, u64],                  // One more with every instance that becomes active.
  born:        [ 80, u64],                  // The generation of the first blob ever; 0: none yet.
  areaLength:  [ 88, u64],                  // Bytes of the disk that belong to the store.
  blobLimit:   [ 96, u32],                  // The most bytes that one blob may have.
  keep:        [100, u16],                  // How many older states are kept.
  unscrubbed:  [102, bool],                 // Free space may hold what an older key, or none, sealed.
  reserved1:   [103, u8],
  sealing:     [104, sealing],
  reserved2:   [180, bytes(76)],
});

// biome-ignore format: table
const directoryEntry = layout(0, ENTRY_BYTES, {
  name:        [  0, blobName],
  offset:      [ 16, u64],
  length:      [ 24, u64],                  // As stored: what sealing adds is included.
  generation:  [ 32, u64],                  // The commit that brought these bytes.
  until:       [ 40, u64],                  // The last generation that had them; 0: they are current.
  digest:      [ 48, bytes(DIGEST_BYTES)],  // SHA-256 of the bytes as stored.
});

export type Entry = Readonly<Of<typeof directoryEntry>>;
export interface Directory {
  readonly uuid: Uint8Array;
  readonly generation: number;
  readonly epoch: number;
  readonly born: number;
  readonly areaLength: number;
  readonly blobLimit: number;
  readonly keep: number;
  readonly unscrubbed: boolean;
  readonly sealing: Sealing;
  /** Current blobs and those of kept states. */
  readonly entries: readonly Entry[];
}

/** `open`: in use, or cut off in use. `clean`: closed in order. `handed-over`: left to a migration target. */
export const MARK_STATES = ['open', 'clean', 'handed-over'] as const;
export type MarkState = (typeof MARK_STATES)[number];

// biome-ignore format: table
const markHead = layout(0, 80, {
  magic:       [  0, magic(MARK_MAGIC)],
  revision:    [  8, u32],
  reserved:    [ 12, u16],
  state:       [ 14, u16],                  // An index into MARK_STATES.
  digest:      [ 16, bytes(DIGEST_BYTES)],  // SHA-256 of the sector, this field taken as zeros.
  uuid:        [ 48, bytes(16)],
  generation:  [ 64, u64],                  // Every generation up to this one was acknowledged.
  epoch:       [ 72, u64],
});

export interface Mark {
  readonly state: MarkState;
  readonly uuid: Uint8Array;
  readonly generation: number;
  readonly epoch: number;
}

/** What was found where a directory or a mark belongs. */
export type Found<T> =
  | { readonly is: 'blank' }
  | { readonly is: 'newer'; readonly revision: number }
  | { readonly is: 'broken'; readonly why: string }
  | { readonly is: 'sound'; readonly value: T };

export const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(hash('sha256', data, 'buffer'));

/** @param slot a page that may be written over, for whoever makes many of them */
export function encodeDirectory(
  directory: Directory,
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
      reserved2: new Uint8Array(76),
    }),
  );
  entries.forEach((entry, index) => {
    slot.set(encode(directoryEntry, entry), entryOffset(index));
  });
  return stamp(slot);
}

const entryOffset = (index: number): number => HEAD_BYTES + index * ENTRY_BYTES;

export function readDirectory(slot: Uint8Array): Found<Directory> {
  return examine(slot, DIRECTORY_MAGIC, () => {
    const head = decode(directoryHead, slot.subarray(0, HEAD_BYTES));
    const entries = Array.from({ length: head.entryCount }, (_, index) => {
      const at = entryOffset(index);
      return decode(directoryEntry, slot.subarray(at, at + ENTRY_BYTES));
    });
    const { magic, revision, entryCount, digest, reserved1, reserved2, ...fields } = head;
    return { ...fields, entries };
  });
}

export function encodeMark(mark: Mark): Uint8Array {
  const sector = new Uint8Array(SECTOR_BYTES);
  sector.set(
    encode(markHead, {
      ...mark,
      magic: MARK_MAGIC,
      revision: REVISION,
      reserved: 0,
      state: MARK_STATES.indexOf(mark.state),
      digest: new Uint8Array(DIGEST_BYTES),
    }),
  );
  return stamp(sector);
}

export function readMark(sector: Uint8Array): Found<Mark> {
  return examine(sector, MARK_MAGIC, () => {
    const { state, uuid, generation, epoch } = decode(markHead, sector.subarray(0, markHead.size!));
    const name = MARK_STATES[state];
    if (name === undefined) throw new WireError('VALUE', `there is no state ${state}`);
    return { state: name, uuid, generation, epoch };
  });
}

/** Fills in the digest of a page or sector that is otherwise complete. */
function stamp(page: Uint8Array): Uint8Array {
  page.set(sha256(page), DIGEST_OFFSET);
  return page;
}

/**
 * The digest is checked before anything else is believed, the revision included: a flipped byte
 * in the revision is corruption and not a newer format.
 */
function examine<T>(page: Uint8Array, expected: Uint8Array, parse: () => T): Found<T> {
  if (isBlank(page)) return { is: 'blank' };
  if (!equal(page.subarray(0, expected.length), expected)) {
    return { is: 'broken', why: 'its magic is wrong' };
  }
  const unstamped = page.slice();
  unstamped.fill(0, DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  const digest = page.subarray(DIGEST_OFFSET, DIGEST_OFFSET + DIGEST_BYTES);
  if (!equal(sha256(unstamped), digest)) return { is: 'broken', why: 'its digest is wrong' };
  const revision = decode(u32, page.subarray(8, 12));
  if (revision > REVISION) return { is: 'newer', revision };
  try {
    return { is: 'sound', value: parse() };
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

function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
