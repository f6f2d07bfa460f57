/**
 * Headers: what qemu-img writes is read, and each rule of the format has an image that breaks it.
 * @long
 */
import test from 'ava';
import { MemoryNode } from '../../lab/block/memory.js';
import { hex } from '../../lab/files.js';
import type { ImageError, ImageErrorCode } from '../../src/block/node.js';
import { openQcow2, Qcow2Node } from '../../src/block/qcow2/node.js';

// The first 112 bytes of `qemu-img create -f qcow2 h.qcow2 64M`, qemu-img 7.2.22. The file is
// 196616 bytes long; of the rest only the table and the block of refcounts are not zero.
const HEADER = hex(`
  514649fb00000003000000000000000000000000000000100000000004000000
  0000000000000001000000000003000000000000000100000000000100000000
  0000000000000000000000000000000000000000000000000000000000000000
  00000004000000700000000000000000`);

function image(at?: number, bytes = ''): MemoryNode {
  const whole = new Uint8Array(196_616);
  whole.set(HEADER);
  whole.set(hex('0000000000020000'), 0x1_0000);
  whole.set(hex('0001000100010001'), 0x2_0000);
  if (at !== undefined) whole.set(hex(bytes), at);
  return new MemoryNode(whole);
}

test('a header by qemu-img reads as qemu-img wrote it', t => {
  const disk = openQcow2(image()).lock();
  t.like(Qcow2Node.diskOf(disk)?.view.header, {
    version: 3,
    size: 64 * 2 ** 20,
    clusterBits: 16,
    l1Size: 1,
    l1TableOffset: 0x3_0000,
    refcountTableOffset: 0x1_0000,
    headerLength: 112,
    refcountOrder: 4,
    incompatible: 0n,
  });
  t.is(disk.read(0, 512).length, 512);
});

// The values are those of QEMU's own bad-input tests, the decision is qemu-img 7.2's.
// biome-ignore format: table
const BROKEN: readonly [code: ImageErrorCode, at: number, bytes: string, says: RegExp][] = [
  ['NOT_QCOW2',     0, '514649fa',         /magic is missing/],
  ['MALFORMED',     4, '00000000',         /the version is 2 or 3/],
  ['MALFORMED',     4, '00000001',         /the version is 2 or 3/],
  ['MALFORMED',     4, '00000004',         /the version is 2 or 3/],
  ['MALFORMED',    20, '00000000',         /clusters have 512 bytes to 2 MiB/],
  ['MALFORMED',    20, '00000008',         /clusters have 512 bytes to 2 MiB/],
  ['MALFORMED',    20, '00000016',         /clusters have 512 bytes to 2 MiB/],
  ['MALFORMED',    20, '00000040',         /clusters have 512 bytes to 2 MiB/],
  ['MALFORMED',    20, 'ffffffff',         /clusters have 512 bytes to 2 MiB/],
  ['MALFORMED',   100, 'ffffffff',         /header keeps to its first cluster/],
  ['MALFORMED',   100, '7fffffff',         /header keeps to its first cluster/],
  ['MALFORMED',   100, '00000067',         /header has 104 bytes or more/],
  ['MALFORMED',     8, 'ffffffffffffffff', /backing file name is in the first cluster/],
  ['MALFORMED',     8, '0000000000001000ffffffff', /backing file name has at most 1023/],
  ['MALFORMED',   112, '123456787fffffff', /a header extension is too large/],
  ['MALFORMED',    56, 'ffffffff',         /refcount table takes at most 8 MiB/],
  ['MALFORMED',    56, '00020001',         /refcount table takes at most 8 MiB/],
  ['MALFORMED',    56, '00000000',         /there is a refcount table/],
  ['MALFORMED',    48, '1234567890abcdef', /refcount table starts on a cluster/],
  ['MALFORMED',    48, 'ffffffffffff0000', /refcount table starts on a cluster/],
  ['MALFORMED',    60, 'ffffffff',         /at most 65536 snapshots/],
  ['MALFORMED',    60, '00010001',         /at most 65536 snapshots/],
  ['MALFORMED',    64, 'ffffffffffff0000', /snapshot table starts on a cluster/],
  ['MALFORMED',    64, '1234567890abcdef', /snapshot table starts on a cluster/],
  ['MALFORMED',    36, 'ffffffff',         /L1 table takes at most 32 MiB/],
  ['MALFORMED',    36, '7fffffff',         /L1 table takes at most 32 MiB/],
  ['MALFORMED',    40, '7fffffffffff0000', /L1 table starts on a cluster/],
  ['MALFORMED',    40, '1234567890abcdef', /L1 table starts on a cluster/],
  ['MALFORMED',    36, '00000000',         /L1 table covers the disk/],
  ['MALFORMED',    24, '7fffffffffffffff', /disk is smaller than 2\^63/],
  ['MALFORMED',    24, 'ffffffffffffffff', /disk is smaller than 2\^63/],
  ['MALFORMED',    96, '00000007',         /refcounts have at most 64 bits/],
  ['MALFORMED',    32, '00000003',         /encryption method is known/],
  ['MALFORMED',    72, '0000000000000008', /compression type and its feature bit agree/],
  ['MALFORMED',   104, '01',               /compression type and its feature bit agree/],
  ['MALFORMED',   104, '02',               /compression type is known/],
  ['UNSUPPORTED',  32, '00000002',         /encryption by QEMU is not supported/],
  ['UNSUPPORTED',  72, '0000000000000004', /external data file/],
  ['UNSUPPORTED',  72, '0000000000000010', /extended L2 entries/],
  ['UNSUPPORTED',  72, '0000000000000020', /unknown incompatible feature: bit 5/],
  ['UNSUPPORTED',  72, '8000000000000000', /unknown incompatible feature: bit 63/],
  ['DAMAGED',      72, '0000000000000002', /marked corrupt and cannot be opened for writ/],
];
for (const [code, at, bytes, says] of BROKEN) {
  test(`byte ${at} = ${bytes} is refused: ${says.source}`, t => {
    const file = image(at, bytes);
    const before = file.view.slice();
    t.throws(() => openQcow2(file), { code, message: says });
    t.deepEqual(file.view, before, 'the file is untouched');
  });
}

test('an unknown feature is called by the name that the image gives it', t => {
  const file = image(79, '20');
  // A feature name table with one row: incompatible bit 5, "time travel".
  file.view.set(hex('6803f857000000300005'), 112);
  file.view.set(new TextEncoder().encode('time travel'), 122);
  t.throws(() => openQcow2(file), { message: /unknown incompatible feature: time travel/ });
});

test('all broken rules are told at once', t => {
  const file = image(36, 'ffffffff');
  file.view.set(hex('00000007'), 96);
  const error = t.throws<ImageError>(() => openQcow2(file));
  t.is(error?.broken.length, 2);
});

for (const [length, code] of [
  [0, 'NOT_QCOW2'],
  [3, 'NOT_QCOW2'],
  [4, 'MALFORMED'],
  [71, 'MALFORMED'],
  [100, 'MALFORMED'],
] as const) {
  test(`a file of ${length} bytes is refused`, t => {
    const file = new MemoryNode(image().view.slice(0, length));
    t.throws(() => openQcow2(file), { code });
  });
}

for (const bytes of ['00000068', '00000069']) {
  test(`header length 0x${bytes} is fine`, t => {
    t.notThrows(() => openQcow2(image(100, bytes)));
  });
}

test('a corrupt image can be read', t => {
  const file = new MemoryNode(image(72, '0000000000000002').view, true);
  t.is(openQcow2(file).lock().read(0, 8).length, 8);
});
