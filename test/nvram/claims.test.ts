/**
 * Goal: what a directory claims never costs more than the store's own limits allow: a digest can be
 * made by any attacker. Method: each claim is broken in a directory whose digest is right, on a disk of
 * 2 TiB that counts what is read.
 */
import test from 'ava';
import { entropy, KEY } from '../../lab/store/stores.js';
import { assess } from '../../src/nvram/image/assess.js';
import { BlobCipher, ENCRYPTION_EXTRA_BYTES } from '../../src/nvram/image/cipher.js';
import { Keyring } from '../../src/nvram/image/keyring.js';
import {
  ACK_RECORD_OFFSET,
  AREA_BYTES_MAX,
  AREA_BYTES_MIN,
  type Directory,
  type Entry,
  NO_ENCRYPTION,
  POOL_OFFSET,
  SLOT_OFFSETS,
} from '../../src/nvram/image/layout.js';
import { encodeAckRecord, encodeDirectory, sha256 } from '../../src/nvram/image/pages.js';
import type { Readable } from '../../src/nvram/image/slots.js';
import { BLOB_BYTES_MAX, KEY_BYTES } from '../../src/nvram/index.js';

const GIB = 2 ** 30;
const DISK_BYTES = 2048 * GIB;

/** A disk of zeros, but for what was put on it. */
class SparseDisk implements Readable {
  readonly length: number;
  readonly #pages = new Map<number, Uint8Array>();
  bytesRead = 0;
  largestRead = 0;

  constructor(length: number) {
    this.length = length;
  }

  put(offset: number, bytes: Uint8Array): void {
    this.#pages.set(offset, bytes);
  }

  read(offset: number, length: number): Uint8Array {
    this.bytesRead += length;
    this.largestRead = Math.max(this.largestRead, length);
    const bytes = new Uint8Array(length);
    bytes.set((this.#pages.get(offset) ?? new Uint8Array()).subarray(0, length));
    return bytes;
  }
}

const uuid = new Uint8Array(16).fill(1);
const sound: Directory = {
  uuid,
  generation: 1,
  epoch: 1,
  firstBlobGeneration: 1,
  areaLength: AREA_BYTES_MIN,
  blobLimit: 1000,
  historyLength: 0,
  unscrubbed: false,
  encryption: NO_ENCRYPTION,
  entries: [],
};
const entry: Entry = {
  name: 'permall',
  offset: POOL_OFFSET,
  length: 1000,
  generation: 1,
  lastGeneration: 0,
  digest: sha256(new Uint8Array(1000)),
};

function assessed(
  directory: Directory,
  disk = new SparseDisk(DISK_BYTES),
  keys = new Keyring(undefined),
) {
  disk.put(SLOT_OFFSETS[0], encodeDirectory(directory, undefined));
  disk.put(ACK_RECORD_OFFSET, encodeAckRecord({ state: 'open', uuid, generation: 1, epoch: 1 }));
  return { ...assess(disk, keys), disk };
}

const long = (length: number): Directory => ({
  ...sound,
  areaLength: AREA_BYTES_MAX,
  blobLimit: BLOB_BYTES_MAX,
  entries: [{ ...entry, length }],
});
const scrypt = { ...NO_ENCRYPTION, kind: 2, costLog2: 15, blockSize: 8, parallel: 1 };

// biome-ignore format: table
const FALSE: readonly [claim: string, directory: Directory, finding: RegExp][] = [
  ['a blob above the limit',       { ...sound, entries: [{ ...entry, length: 1001 }] },  /is longer than 1000/],
  ['a blob of 4 MiB and a byte',   long(BLOB_BYTES_MAX + 1),                             /is longer than 4194304/],
  ['a blob of 1 GiB',              long(GIB),                                            /is longer than/],
  ['a blob of 1 TiB',              long(1024 * GIB),                                     /is longer than/],
  ['a blob of 2 to the 53 - 1',    long(Number.MAX_SAFE_INTEGER),                        /is longer than/],
  ['a limit above 4 MiB',          { ...sound, blobLimit: BLOB_BYTES_MAX + 1 },          /at most 4194304 bytes/],
  ['an area that is too small',    { ...sound, areaLength: AREA_BYTES_MIN - 4096 },      /whole pages, 262144 to/],
  ['an area of part of a page',    { ...sound, areaLength: AREA_BYTES_MIN + 512 },       /whole pages/],
  ['an area that is too large',    { ...sound, areaLength: AREA_BYTES_MAX + 4096 },      /whole pages/],
  ['an area of the whole disk',    { ...sound, areaLength: DISK_BYTES },                 /whole pages/],
  ['13 older states',              { ...sound, historyLength: 13 },                      /at most 12 older states/],
  ['a blob outside the area',      { ...sound, entries: [{ ...entry, offset: AREA_BYTES_MIN }] }, /outside the room/],
  ['a blob over a slot',           { ...sound, entries: [{ ...entry, offset: 65536 }] }, /outside the room/],
  ['a blob over the record',       { ...sound, entries: [{ ...entry, offset: ACK_RECORD_OFFSET }] }, /outside the room/],
  ['a blob between pages',         { ...sound, entries: [{ ...entry, offset: POOL_OFFSET + 512 }] }, /not start on a page/],
  ['two blobs in one place',       { ...sound, entries: [entry, { ...entry, name: 'x' }] }, /overlaps/],
  ['two blobs of one name',        { ...sound, entries: [entry, { ...entry, offset: POOL_OFFSET + 4096 }] }, /same name/],
  ['a blob of a later generation', { ...sound, entries: [{ ...entry, generation: 2 }] }, /newer than its directory/],
  ['a blob that was current later', { ...sound, entries: [{ ...entry, lastGeneration: 1 }] }, /newer than its directory/],
  ['blobs, and never a first one', { ...sound, firstBlobGeneration: 0, entries: [entry] }, /a first blob before/],
  ['a first blob to come',         { ...sound, firstBlobGeneration: 2 },                 /a first blob before/],
  ['generation 0',                 { ...sound, generation: 0, firstBlobGeneration: 0 },  /count from 1/],
  ['scrypt of 2 to the 18',        { ...sound, encryption: { ...scrypt, costLog2: 18 } }, /cost of the password/],
  ['scrypt of 2 to the 255',       { ...sound, encryption: { ...scrypt, costLog2: 255 } }, /cost of the password/],
  ['scrypt with r = 255',          { ...sound, encryption: { ...scrypt, blockSize: 255 } }, /cost of the password/],
  ['scrypt with p = 255',          { ...sound, encryption: { ...scrypt, parallel: 255 } }, /cost of the password/],
  ['scrypt with nothing to do',    { ...sound, encryption: { ...scrypt, costLog2: 0 } }, /cost of the password/],
];
for (const [claim, directory, finding] of FALSE) {
  test(`refused before a blob is read: ${claim}`, t => {
    const { verdict, findings, disk } = assessed(directory);
    t.is(verdict, 'CORRUPT');
    t.regex(findings.join('; '), finding);
    t.is(disk.bytesRead, 2 * 4096 + 512, 'the slots and the record');
  });
}

test('a claim that no password could pay for is refused before it is tried', t => {
  const password = { kind: 'password', bytes: new Uint8Array(8) } as const;
  const costly = { ...sound, encryption: { ...scrypt, costLog2: 30, blockSize: 200 } };
  t.is(assessed(costly, undefined, new Keyring(password)).verdict, 'CORRUPT');
});

test('claims within the limits are taken', t => {
  t.is(assessed({ ...sound, entries: [entry] }).verdict, 'OK');
  t.is(assessed({ ...sound, firstBlobGeneration: 0 }).verdict, 'EMPTY');
});

test('what encryption adds to a blob is within the limit, and no byte more', t => {
  const { encryption } = BlobCipher.fresh(KEY, uuid, entropy);
  const length = 1000 + ENCRYPTION_EXTRA_BYTES;
  const digest = sha256(new Uint8Array(length));
  const boxed = { ...sound, encryption, entries: [{ ...entry, length, digest }] };
  t.is(assessed(boxed).verdict, 'OK');
  t.is(assessed({ ...boxed, entries: [{ ...entry, length: length + 1 }] }).verdict, 'CORRUPT');
  t.is(KEY_BYTES, 32);
});

test('the largest blobs are digested in steps, and a blob that both slots have once', t => {
  const length = BLOB_BYTES_MAX;
  const digest = sha256(new Uint8Array(length));
  const entries = [0, 1, 2].map(i => ({
    ...entry,
    name: `b${i}`,
    offset: POOL_OFFSET + i * length,
    length,
    digest,
  }));
  const directory = { ...long(0), entries };
  const disk = new SparseDisk(DISK_BYTES);
  disk.put(SLOT_OFFSETS[1], encodeDirectory({ ...directory, generation: 2 }, undefined));
  t.is(assessed(directory, disk).verdict, 'OK');
  t.true(disk.largestRead <= 65536, `${disk.largestRead} bytes at once`);
  t.is(disk.bytesRead, 3 * length + 2 * 4096 + 512);
});
