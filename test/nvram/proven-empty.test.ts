/**
 * Goal: a new TPM is made only where nothing can have been stored. A lost mapping makes every guest
 * byte read as zero, and a new TPM over an old one is the worst that can happen to it.
 * Method: every single bit of an image's metadata is flipped, and every length of its file is tried;
 * then the store is opened as `exec` does, ready to format.
 * @long
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { MemoryNode } from '../../lab/block/memory.js';
import { scratch } from '../../lab/files.js';
import { qemuImg } from '../../lab/peers/qemu.js';
import { activated, blob, contents, entropy, format, inspected } from '../../lab/store/stores.js';
import {
  type BlockNode,
  formatQcow2,
  ImageError,
  openQcow2,
  openRaw,
  storeTag,
  withLock,
  writeStoreTag,
  writeZeroes,
} from '../../src/block/index.js';
import { NvtpmError } from '../../src/errors.js';
import { AREA_BYTES_MIN, openStore } from '../../src/nvram/index.js';
import { everyFlip, SimulatedDisk } from '../../src/testing/index.js';
import { equal } from '../../src/wire/codec.js';
import { peerTest } from '../_peers.js';

const CLUSTER_BITS = 12;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const DISK_BYTES = 2 * AREA_BYTES_MIN;

/** An image without a store. */
function blank(clusterBits = CLUSTER_BITS): MemoryNode {
  const file = new MemoryNode();
  formatQcow2(file, { size: DISK_BYTES, clusterBits });
  return file;
}

/** Uses an image, and closes it. */
function withImage<T>(file: MemoryNode, act: (node: BlockNode) => T, backing?: BlockNode): T {
  using node = openQcow2(file, { backing });
  return act(node);
}

function owned(file: MemoryNode, backing?: BlockNode): MemoryNode {
  withImage(
    file,
    node => {
      format(node, { areaLength: AREA_BYTES_MIN });
      const store = activated(node);
      store.store('permall', blob(700, 1));
      store.store('permall', blob(900, 2));
      store.close();
    },
    backing,
  );
  return file;
}

/** The last byte of incompatible_features in the header. */
const INCOMPATIBLE_LOW = 79;

/** What `exec` finds in an image, ready to format it: nothing may be written before. */
function found(t: ExecutionContext, image: Uint8Array, backing?: () => BlockNode): string {
  const file = new MemoryNode(new Uint8Array(image));
  const outcome = outcomeOf(() =>
    withLock(openQcow2(file, { backing: backing?.() }), undefined, disk => {
      const candidate = openStore(disk, { entropy, whenEmpty: 'format' });
      const bytes = candidate.load('permall');
      if (candidate.uuid === undefined) return 'EMPTY';
      return bytes === undefined ? 'no TPM' : `${bytes.length} × ${bytes[0]}`;
    }),
  );
  // As QEMU does, opening may mark a damaged image as corrupt.
  const after = file.view.slice();
  if (outcome === 'IMAGE') after[INCOMPATIBLE_LOW] = image[INCOMPATIBLE_LOW]!;
  t.true(equal(after, image), `${outcome}: nothing else was written`);
  return outcome;
}

function outcomeOf(act: () => string): string {
  try {
    return act();
  } catch (error) {
    if (error instanceof NvtpmError) return error.outcome;
    throw error;
  }
}

test('an image whose header proves it empty is formatted, where that is asked for, and tagged', t => {
  const file = blank();
  withImage(file, node => {
    t.like(inspected(node), { verdict: 'EMPTY', isProvenByHeader: true });
    t.throws(() => activated(node), { code: 'EMPTY' });
    t.throws(() => activated(node, { whenEmpty: 'refuse' }), { code: 'EMPTY' });
    const store = activated(node, { whenEmpty: 'format' });
    t.true(store.pristine);
    const tag = withLock(node, undefined, storeTag);
    t.deepEqual(tag, { uuid: store.uuid, kind: 'blob' });
    store.close();
    t.throws(() => activated(node, { whenEmpty: 'refuse' }), { code: 'EMPTY' }, 'still no TPM');
    activated(node, { whenEmpty: 'format' }).store('permall', blob(1, 1));
    t.is(activated(node, { whenEmpty: 'refuse' }).blobs.length, 1);
  });
});

test('a raw disk of zeros proves nothing: it takes create', t => {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  t.like(inspected(disk), { verdict: 'EMPTY', isProvenByHeader: false });
  const refused = { code: 'EMPTY', message: /a raw disk cannot prove.*nvtpm create/ };
  t.throws(() => activated(disk, { whenEmpty: 'format' }), refused);
  format(disk);
  activated(disk, { whenEmpty: 'format' }).store('permall', blob(1, 1));
  t.is(contents(disk), 'OK: 1 × 1');
});

test('a large raw disk is read as far as a store can reach', t => {
  class Large extends SimulatedDisk {
    bytesRead = 0;
    override get length(): number {
      return 2 ** 41;
    }
    override read(offset: number, length: number): Uint8Array {
      this.bytesRead += length;
      return offset + length <= AREA_BYTES_MIN
        ? super.read(offset, length)
        : new Uint8Array(length);
    }
  }
  const disk = new Large(AREA_BYTES_MIN);
  t.is(inspected(disk).verdict, 'EMPTY');
  t.true(disk.bytesRead <= 513 * 2 ** 20, `${disk.bytesRead}`);
});

test('a store that was overwritten with zeros is CORRUPT, and named', t => {
  const file = owned(blank());
  withImage(file, node => {
    withLock(node, undefined, disk => writeZeroes(disk, 0, DISK_BYTES));
    const message = /the header names store 42424242.*, and it is gone/;
    for (const whenEmpty of ['format', 'refuse', undefined] as const) {
      t.throws(() => activated(node, { whenEmpty }), { code: 'CORRUPT', message });
    }
    t.throws(() => format(node), { code: 'CORRUPT', message });
  });
});

test('data anywhere in the image is CORRUPT, a mapping that is lost is IMAGE', t => {
  const file = blank();
  withImage(file, node => {
    withLock(node, undefined, disk => disk.write(DISK_BYTES - 1, Uint8Array.of(1)));
    t.throws(() => activated(node, { whenEmpty: 'format' }), {
      code: 'CORRUPT',
      message: /holds data/,
    });
    t.throws(() => format(node), { code: 'CORRUPT' });
  });
  // Without the tag, as an older image could be: the check finds what the store has left.
  const untagged = owned(blank());
  const view = new DataView(untagged.view.buffer, untagged.view.byteOffset);
  const l1 = Number(view.getBigUint64(40));
  view.setBigUint64(l1, 0n);
  view.setUint32(headerLength(untagged.view), 0x1234_5678);
  t.is(found(t, untagged.view), 'IMAGE');
  t.throws(() => withImage(untagged, node => activated(node, { whenEmpty: 'format' })), {
    instanceOf: ImageError,
    code: 'DAMAGED',
    message: /leaked clusters: \d+/,
  });
});

const headerLength = (image: Uint8Array): number =>
  new DataView(image.buffer, image.byteOffset).getUint32(100);

/** An image as qemu-img convert makes it: the same disk, another header, no cluster for zeros. */
function converted(file: MemoryNode): MemoryNode {
  const disk = withImage(file, node => withLock(node, undefined, held => held.read(0, DISK_BYTES)));
  const copy = blank();
  withImage(copy, node =>
    withLock(node, undefined, held => {
      for (let at = 0; at < DISK_BYTES; at += CLUSTER_BYTES) {
        const bytes = disk.subarray(at, at + CLUSTER_BYTES);
        if (bytes.some(byte => byte !== 0)) held.write(at, bytes);
      }
    }),
  );
  return copy;
}

/** The image with one big-endian word of 64 bits set. */
function patched(image: Uint8Array, at: number, value: bigint): Uint8Array {
  const copy = image.slice();
  new DataView(copy.buffer).setBigUint64(at, value);
  return copy;
}
const wordAt = (image: Uint8Array, at: number): number =>
  Number(new DataView(image.buffer, image.byteOffset).getBigUint64(at) & 0xff_ffff_ffff_ffffn);

test('an image without a tag gets one from its next activation, and then a lost mapping shows', t => {
  const file = converted(owned(blank()));
  withImage(file, node => {
    t.is(withLock(node, undefined, storeTag), undefined);
    const store = activated(node);
    t.deepEqual(withLock(node, undefined, storeTag)?.uuid, store.uuid);
    store.close();
  });
  t.is(found(t, patched(file.view, wordAt(file.view, 40), 0n)), 'IMAGE');
});

test('a part of the area that lost its mapping is IMAGE, although no blob lies there', t => {
  const activatedOnce = converted(owned(blank()));
  withImage(activatedOnce, node => activated(node).close());
  for (const { view } of [owned(blank()), activatedOnce]) {
    const l2 = wordAt(view, wordAt(view, 40));
    const last = AREA_BYTES_MIN / CLUSTER_BYTES - 1;
    t.is(found(t, view), '900 × 2');
    t.is(found(t, patched(view, l2 + 8 * last, 0n)), 'IMAGE');
  }
});

test('what an area grew by is allocated too', t => {
  const file = owned(blank());
  let areaLength = 0;
  withImage(file, node => {
    const store = activated(node);
    store.store('savestate', blob(130_000, 3));
    store.close();
    ({ areaLength } = inspected(node).state!.directory);
  });
  t.true(areaLength > AREA_BYTES_MIN + 130_000);
  const l2 = wordAt(file.view, wordAt(file.view, 40));
  t.is(found(t, file.view), '900 × 2');
  t.is(found(t, patched(file.view, l2 + 8 * (areaLength / CLUSTER_BYTES - 1), 0n)), 'IMAGE');
});

test('a tag of another store is noted, and replaced by the next activation', t => {
  const file = owned(blank());
  withImage(file, node => {
    const uuid = new Uint8Array(16).fill(7);
    withLock(node, undefined, disk => writeStoreTag(disk, { uuid, kind: 'blob' }));
    t.regex(
      inspected(node).notes.join(),
      /the header names store 0707.*, and store 4242.* is here/,
    );
    const store = activated(node);
    t.deepEqual(withLock(node, undefined, storeTag)?.uuid, store.uuid);
    t.deepEqual(inspected(node).notes, []);
  });
});

test('a store without a blob in a damaged image is IMAGE: a TPM may be lost', t => {
  const file = blank();
  withImage(file, node => format(node, { areaLength: AREA_BYTES_MIN }));
  t.is(found(t, file.view), 'no TPM');
  const view = new DataView(file.view.buffer, file.view.byteOffset);
  const [table] = [Number(view.getBigUint64(48))];
  const block = Number(view.getBigUint64(table));
  // A leak: one more cluster is counted than is used.
  view.setUint16(block + 2 * (CLUSTER_BYTES / 2 - 1), 1);
  t.is(found(t, file.view), 'IMAGE');
});

/** Where the metadata of a small image lies: each table that is in use, and the header's cluster. */
function metadataOf(image: Uint8Array): { what: string; offset: number; length: number }[] {
  const view = new DataView(image.buffer, image.byteOffset);
  const entriesAt = (offset: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) =>
      Number(view.getBigUint64(offset + 8 * i) & 0xfffffffffffe00n),
    );
  const l1 = Number(view.getBigUint64(40));
  const l1Entries = view.getUint32(36);
  const refcountTable = Number(view.getBigUint64(48));
  const used = (offsets: number[]) => offsets.filter(offset => offset !== 0);
  return [
    { what: 'header', offset: 0, length: 24 },
    { what: 'size in the header', offset: 24, length: 8 },
    { what: 'header', offset: 32, length: headerLength(image) + 96 },
    { what: 'L1 table', offset: l1, length: 8 * l1Entries },
    { what: 'refcount table', offset: refcountTable, length: 64 },
    ...used(entriesAt(l1, l1Entries)).map(offset => ({
      what: 'L2 table',
      offset,
      length: 8 * 160,
    })),
    ...used(entriesAt(refcountTable, 8)).map(offset => ({
      what: 'refcount block',
      offset,
      length: 2 * Math.ceil(image.length / CLUSTER_BYTES),
    })),
  ];
}

const COPIED = 1n << 63n;
/** Bits 9 to 55 of an entry of a table. */
const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
/** Where the header has them; bit 0 is the dirty bit. */
const INCOMPATIBLE_FEATURES = 72;

/** Every flip of the metadata, and every length of the file: the same TPM, or a refusal. */
function attack(
  t: ExecutionContext,
  image: Uint8Array,
  stride: number,
  backing?: () => BlockNode,
): void {
  const same = '900 × 2';
  t.is(found(t, image, backing), same);
  const counts: Record<string, number> = {};
  const count = (where: string, outcome: string): void => {
    counts[outcome] = (counts[outcome] ?? 0) + 1;
    // The size of the disk is a claim that nothing else in the image contradicts.
    const allowed = [same, 'IMAGE', 'CORRUPT', ...(where.startsWith('size') ? ['TOO_SMALL'] : [])];
    if (!allowed.includes(outcome)) t.fail(`${where}: ${outcome}`);
  };
  for (const { what, offset, length } of metadataOf(image)) {
    const every = /L1|header/.test(what) ? 1 : stride;
    for (const flip of everyFlip(image, { offset, length, stride: every })) {
      count(`${what}, byte ${flip.offset}, bit ${flip.bit}`, found(t, flip.bytes, backing));
    }
  }
  for (let length = 0; length < image.length; length += 512) {
    count(`${length} bytes of the file`, found(t, image.slice(0, length), backing));
  }
  t.log(counts);
  t.true((counts['IMAGE'] ?? 0) > 100 && (counts['CORRUPT'] ?? 0) > 10);
}

test('no flip and no truncation of an image with a TPM makes it EMPTY, or another TPM', t => {
  attack(t, owned(blank()).view.slice(), 5);
});

test('nor of an overlay that has the TPM', t => {
  const backing = (): BlockNode => openRaw(new MemoryNode(new Uint8Array(DISK_BYTES), true));
  const file = new MemoryNode();
  formatQcow2(file, {
    size: DISK_BYTES,
    clusterBits: CLUSTER_BITS,
    backing: { name: 'base', format: 'raw' },
  });
  attack(t, owned(file, backing()).view.slice(), 17, backing);
});

peerTest('nor of an image with an internal snapshot of an older state', ['qemu-img'], t => {
  const path = join(scratch(t), 'a.qcow2');
  const store = (file: MemoryNode, bytes: Uint8Array): MemoryNode => {
    withImage(file, node => {
      const active = activated(node);
      active.store('permall', bytes);
      active.close();
    });
    return file;
  };
  const image = blank();
  withImage(image, node => format(node, { areaLength: AREA_BYTES_MIN }));
  writeFileSync(path, store(image, blob(700, 1)).view);
  qemuImg('snapshot', '-c', 'then', path);
  const shot = store(new MemoryNode(new Uint8Array(readFileSync(path))), blob(900, 2));
  attack(t, shot.view.slice(), 5);

  // Pointers that lead to the snapshot's own tables, which hold the older state, complete.
  const view = new DataView(shot.view.buffer, shot.view.byteOffset);
  const [l1, snapshots] = [Number(view.getBigUint64(40)), Number(view.getBigUint64(64))];
  const older = view.getBigUint64(snapshots);
  const l2 = view.getBigUint64(Number(older));
  for (const [at, value] of [
    [40, older],
    [l1, l2],
    [l1, l2 | COPIED],
  ] as const) {
    const image = shot.view.slice();
    new DataView(image.buffer).setBigUint64(at, value);
    t.is(found(t, image), 'IMAGE', `${value.toString(16)} at ${at}`);
  }

  // The same entry by entry, each flagged as if nothing else referred to its cluster.
  const owned = shot.view.slice();
  const words = new DataView(owned.buffer);
  const active = Number(words.getBigUint64(l1) & OFFSET_BITS);
  for (let at = 0; at < CLUSTER_BYTES; at += 8) {
    const entry = words.getBigUint64(Number(l2 & OFFSET_BITS) + at);
    if (entry !== 0n) words.setBigUint64(active + at, entry | COPIED);
  }
  t.is(found(t, owned), 'IMAGE', 'entries of the older state');
  // Refcounts need not be right in an image that was not closed cleanly: this is no excuse.
  words.setUint32(INCOMPATIBLE_FEATURES + 4, 1);
  t.is(found(t, owned), 'IMAGE', 'entries of the older state, with the dirty bit');
});
