/**
 * Where everything of a store lies on the guest-visible disk, and what it looks like: the tables of
 * docs/on-disk.md. Numbers are big-endian, as in qcow2 and in the TPM.
 *
 *     0 KiB    directory slot 0    64 KiB   directory slot 1    128 KiB  acknowledgement record
 *     4 KiB    its half's extents  68 KiB   its half's extents  132 KiB  pool of extents
 *
 * A directory lies beside the extents of its half, so that a commit which changes one blob is one
 * contiguous write.
 * @module
 */
import {
  bool,
  bytes,
  type Codec,
  checked,
  equal,
  layout,
  type Of,
  u8,
  u16,
  u32,
  u64,
  WireError,
} from '../../wire/codec.js';
import { type BlobName, isBlobName } from '../store.js';

/** What a disk writes whole or not at all. The acknowledgement record keeps to one of these. */
export const SECTOR_BYTES = 512;
/** Slots and extents start on multiples of this, the page size of the host. */
export const PAGE_BYTES = 4096;
/** The distance between the two directory slots. */
export const HALF_BYTES = 64 * 1024;
export const SLOT_OFFSETS = [0, HALF_BYTES] as const;
/** Which of the two directory slots. */
export type SlotIndex = 0 | 1;
export const ACK_RECORD_OFFSET = 2 * HALF_BYTES;
/** Where the extents that belong to neither half begin. */
export const POOL_OFFSET = ACK_RECORD_OFFSET + PAGE_BYTES;
/** The smallest store: the halves, the record, and a pool for the largest TPM 1.2 state (twice). */
export const AREA_BYTES_MIN = 256 * 1024;
/** What formatting sets aside by default. An area grows where its disk has room. */
export const AREA_BYTES_DEFAULT = 1024 * 1024;
/** More than two generations of a full directory of the largest blobs take. */
export const AREA_BYTES_MAX = 512 * 1024 * 1024;
/** How many older states a directory has room for beside what is current. */
export const HISTORY_LENGTH_MAX = 12;
/** The format that this code reads and writes. */
export const REVISION = 2;

export const DIRECTORY_MAGIC = ascii('nvtpmdir');
export const ACK_MAGIC = ascii('nvtpmack');
/** The kind of store that a tag in an image's header names. */
export const TAG_KIND = 'blob';

export const UUID_BYTES = 16;
export const NAME_BYTES = 16;
export const DIGEST_BYTES = 32;
export const MAC_BYTES = 32;
/** In both a directory and the acknowledgement record, and in every revision to come. */
export const REVISION_OFFSET = 8;
export const DIGEST_OFFSET = 16;
/** Of a directory. */
export const MAC_OFFSET = 180;

const magic = (expected: Uint8Array): Codec<Uint8Array> =>
  checked(bytes(expected.length), value => equal(value, expected));

/** A name in ASCII, padded with zeros to its field. */
const blobName: Codec<BlobName> = {
  size: NAME_BYTES,
  read: from => named(Buffer.from(from.take(NAME_BYTES)).toString('latin1').replace(/\0+$/, '')),
  write(to, value) {
    const field = new Uint8Array(NAME_BYTES);
    field.set(ascii(named(value)));
    to.put(field);
  },
};

function named(text: string): BlobName {
  if (isBlobName(text)) return text;
  throw new WireError('VALUE', `${JSON.stringify(text)} is not a blob name`);
}

export const HEAD_BYTES = 256;
export const ENTRY_BYTES = 80;
/** How many blobs a directory has room for, those of kept generations included. */
export const ENTRIES_MAX = Math.floor((PAGE_BYTES - HEAD_BYTES) / ENTRY_BYTES);

/** How a store is encrypted. */
export const ENCRYPTION_KINDS = ['none', 'key', 'password'] as const;

// biome-ignore format: table
const encryption = layout(0, 76, {
  kind:        [  0, checked(u8, n => n < ENCRYPTION_KINDS.length)],  // An index into ENCRYPTION_KINDS.
  costLog2:    [  1, u8],                   // scrypt: N is 2 to this, then r and p (RFC 7914).
  blockSize:   [  2, u8],
  parallel:    [  3, u8],
  salt:        [  4, bytes(16)],
  checkNonce:  [ 20, bytes(24)],            // The uuid as a secretbox: opens with the right key only.
  check:       [ 44, bytes(32)],
});
/**
 * How a store is encrypted, without its key.
 * @useDeclaredType
 */
export type Encryption = Readonly<Of<typeof encryption>>;

export const NO_ENCRYPTION: Encryption = {
  kind: 0,
  costLog2: 0,
  blockSize: 0,
  parallel: 0,
  salt: new Uint8Array(16),
  checkNonce: new Uint8Array(24),
  check: new Uint8Array(32),
};

// biome-ignore format: table
export const directoryHead = layout(0, HEAD_BYTES, {
  magic:       [  0, magic(DIRECTORY_MAGIC)],
  revision:    [  8, u32],
  entryCount:  [ 12, checked(u32, n => n <= ENTRIES_MAX)],
  digest:      [ 16, bytes(DIGEST_BYTES)],  // SHA-256 of the slot, this field taken as zeros.
  uuid:        [ 48, bytes(UUID_BYTES)],
  generation:  [ 64, u64],                  // One more with every commit.
  epoch:       [ 72, u64],                  // One more with every instance that becomes active.
  firstBlobGeneration: [ 80, u64],          // The generation of the first blob ever; 0: none yet.
  areaLength:  [ 88, u64],                  // Bytes of the disk that belong to the store.
  blobLimit:   [ 96, u32],                  // The most bytes that one blob may have.
  historyLength: [100, u16],                // How many older states are kept.
  unscrubbed:  [102, bool],                 // Free space may hold plaintext, or what an older key encrypted.
  reserved1:   [103, u8],
  encryption:  [104, encryption],
  mac:         [180, bytes(MAC_BYTES)],     // HMAC-SHA-256 of the slot, digest and this field as zeros.
  reserved2:   [212, bytes(44)],
});

// biome-ignore format: table
export const directoryEntry = layout(0, ENTRY_BYTES, {
  name:        [  0, blobName],
  offset:      [ 16, u64],
  length:      [ 24, u64],                  // As stored: what encryption adds is included.
  generation:  [ 32, u64],                  // The commit that brought these bytes.
  lastGeneration: [ 40, u64],               // The last generation that had them; 0: they are current.
  digest:      [ 48, bytes(DIGEST_BYTES)],  // SHA-256 of the bytes as stored.
});

/**
 * A blob of a directory: where it lies, and its digest.
 * @useDeclaredType
 */
export type Entry = Readonly<Of<typeof directoryEntry>>;
/** A directory slot, decoded (docs/on-disk.md). */
export interface Directory {
  readonly uuid: Uint8Array;
  readonly generation: number;
  readonly epoch: number;
  readonly firstBlobGeneration: number;
  readonly areaLength: number;
  readonly blobLimit: number;
  readonly historyLength: number;
  readonly unscrubbed: boolean;
  readonly encryption: Encryption;
  /** Current blobs and those of kept states. */
  readonly entries: readonly Entry[];
}

/** `open`: in use, or cut off in use. `clean`: closed in order. `handed-over`: left to a migration target. */
export const ACK_STATES = ['open', 'clean', 'handed-over'] as const;
/**
 * What the acknowledgement record says about the store.
 * @useDeclaredType
 */
export type AckState = (typeof ACK_STATES)[number];

// biome-ignore format: table
export const ackHead = layout(0, 80, {
  magic:       [  0, magic(ACK_MAGIC)],
  revision:    [  8, u32],
  reserved:    [ 12, u16],
  state:       [ 14, checked(u16, n => n < ACK_STATES.length)],  // An index into ACK_STATES.
  digest:      [ 16, bytes(DIGEST_BYTES)],  // SHA-256 of the sector, this field taken as zeros.
  uuid:        [ 48, bytes(UUID_BYTES)],
  generation:  [ 64, u64],                  // Every generation up to this one was acknowledged.
  epoch:       [ 72, u64],
});

/** The acknowledgement record: up to which generation stores were acknowledged. */
export interface AckRecord {
  readonly state: AckState;
  readonly uuid: Uint8Array;
  readonly generation: number;
  readonly epoch: number;
}

function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
