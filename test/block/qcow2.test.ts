/** The qcow2 node against the real qemu-img and qemu-io, in both directions. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { using } from '../../lab/block/disk.js';
import { MemoryNode } from '../../lab/block/memory.js';
import { type Random, random } from '../../lab/block/random.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, qemuIo } from '../../lab/peers/qemu.js';
import {
  type CreateImageOptions,
  createQcow2,
  formatQcow2,
  imageInfo,
  openImage,
  openQcow2,
  withLock,
} from '../../src/block/index.js';
import { peerTest } from '../_peers.js';

const MIB = 2 ** 20;
const PEERS = ['qemu-img', 'qemu-io'];

// biome-ignore format: table
const KINDS: readonly [name: string, ours: Partial<CreateImageOptions>, theirs: string][] = [
  ['version 3',            {},                                        'compat=1.1'],
  ['version 2',            { version: 2 },                            'compat=0.10'],
  ['512 B, 1 bit',         { clusterBits: 9,  refcountBits: 1 },      'cluster_size=512,refcount_bits=1'],
  ['512 B, 64 bits',       { clusterBits: 9,  refcountBits: 64 },     'cluster_size=512,refcount_bits=64'],
  ['2 MiB, 8 bits',        { clusterBits: 21, refcountBits: 8 },      'cluster_size=2M,refcount_bits=8'],
];

/** Writes at random places, some of them flushed, and what the disk must hold after. */
function scribble(next: Random, size: number, write: (at: number, bytes: Uint8Array) => void) {
  const disk = new Uint8Array(size);
  for (let i = 0; i < 60; i += 1) {
    const at = next(size);
    const bytes = new Uint8Array(Math.min(size - at, 1 + next(i % 8 === 0 ? 300_000 : 6000)));
    bytes.fill(1 + next(255));
    write(at, bytes);
    disk.set(bytes, at);
  }
  return disk;
}

const same = (t: ExecutionContext, a: Uint8Array, b: Uint8Array): void =>
  void t.is(Buffer.compare(a, b), 0);

for (const [name, ours, theirs] of KINDS) {
  peerTest(`${name}: what we write, QEMU reads, and its check is clean`, PEERS, t => {
    const folder = scratch(t);
    const [path, raw] = [join(folder, 'a.qcow2'), join(folder, 'a.raw')];
    createQcow2(path, { size: 16 * MIB, ...ours });
    const disk = using(path, image => {
      let writes = 0;
      const written = scribble(random(1), 16 * MIB, (at, bytes) => {
        image.write(at, bytes);
        if ((writes += 1) % 7 === 0) image.flush();
      });
      same(t, image.read(0, 16 * MIB), written);
      return written;
    });
    writeFileSync(raw, disk);
    t.regex(qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, raw), /identical/);
    t.is(qemuCheck(path), 0);
    using(path, image => same(t, image.read(0, 16 * MIB), disk), { readOnly: true });
  });

  peerTest(`${name}: what QEMU writes, we read, and go on writing`, PEERS, t => {
    const path = join(scratch(t), 'b.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', theirs, path, '16M');
    qemuIo(path, 'write -P 17 0 4k', 'write -P 18 100000 200000', 'write -z 65536 65536');
    const disk = new Uint8Array(16 * MIB);
    disk.fill(17, 0, 4096);
    disk.fill(18, 100_000, 300_000);
    disk.fill(0, 65_536, 131_072);
    using(path, image => {
      same(t, image.read(0, 16 * MIB), disk);
      image.write(70_000, new Uint8Array(10).fill(5));
      disk.fill(5, 70_000, 70_010);
      same(t, image.read(0, 16 * MIB), disk);
    });
    qemuIo(path, 'read -P 5 70000 10', 'read -P 0 70010 60000', 'read -P 18 131072 10000');
    t.is(qemuCheck(path), 0);
  });
}

for (const [version, compat] of [
  [3, '1.1'],
  [2, '0.10'],
] as const) {
  for (const size of [512, 1000, 64 * MIB, 5 * 2 ** 40]) {
    peerTest(
      `an empty image of ${size} bytes, version ${version}, is qemu-img's to the byte`,
      PEERS,
      t => {
        const folder = scratch(t);
        const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')];
        createQcow2(ours, { size, version });
        qemuImg('create', '-q', '-f', 'qcow2', '-o', `compat=${compat}`, theirs, String(size));
        same(t, readFileSync(ours), readFileSync(theirs));
      },
    );
  }
}

test('a file that is there is not overwritten unless that is asked for', t => {
  const path = join(scratch(t), 'c.qcow2');
  writeFileSync(path, 'precious');
  t.throws(() => createQcow2(path, { size: MIB }), { code: 'IO', message: /EEXIST/ });
  t.is(readFileSync(path, 'utf8'), 'precious');
  createQcow2(path, { size: MIB, overwrite: true });
  t.is(using(path, imageInfo).virtualSize, MIB);
});

test('an image is private to its owner', t => {
  const path = join(scratch(t), 'd.qcow2');
  createQcow2(path, { size: MIB });
  t.is(statSync(path).mode & 0o777, 0o600);
});

test('options that the format does not have are refused by name', t => {
  const path = join(scratch(t), 'e.qcow2');
  const options = { size: MIB, version: 2, refcountBits: 8, clusterBits: 22 } as const;
  const error = t.throws(() => createQcow2(path, options), { code: 'UNSUPPORTED' });
  t.regex(error!.message, /version 2 have 16 bits/);
  t.regex(error!.message, /power of two, 512 to 2 MiB/);
  t.throws(() => statSync(path), { code: 'ENOENT' });
});

test('bytes past the end of the disk, and writes to what is read-only', t => {
  const path = join(scratch(t), 'f.qcow2');
  createQcow2(path, { size: MIB });
  using(
    path,
    disk => {
      t.throws(() => disk.read(MIB - 1, 2), { code: 'RANGE' });
      t.throws(() => disk.read(-1, 1), { code: 'RANGE' });
      t.throws(() => disk.write(0, new Uint8Array(1)), { code: 'READONLY' });
    },
    { readOnly: true },
  );
  rmSync(path);
  t.throws(() => openImage(path), { code: 'IO', message: /there is no such file/ });
});

test('a write into clusters that are there is one write of the file', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: 4 * MIB });
  const disk = openQcow2(file).lock();
  disk.write(0, new Uint8Array(4 * 65_536).fill(1));
  disk.flush();
  file.log.length = 0;
  disk.write(60_000, new Uint8Array(100_000).fill(2));
  disk.flush();
  t.deepEqual(
    file.log.map(each => each.what),
    ['write', 'flush'],
  );
});

test('a read under a new lock reads little of the file', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: 4 * MIB });
  const node = openQcow2(file);
  withLock(node, {}, disk => disk.write(0, new Uint8Array(4 * 65_536).fill(1)));
  file.log.length = 0;
  withLock(node, {}, disk => disk.read(4096, 2048));
  // Header, L1, L2, data.
  t.is(file.log.length, 4);
  t.true(file.log.reduce((sum, { length }) => sum + length, 0) < 12_000);
});

test('the mapping is written only after what it refers to is durable', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: 4 * MIB });
  const disk = openQcow2(file).lock();
  file.log.length = 0;
  disk.write(0, new Uint8Array(512).fill(1));
  disk.flush();
  const steps = file.log.filter(each => each.what !== 'read');
  const l1 = steps.findIndex(each => each.what === 'write' && each.offset === 0x3_0000);
  const barrier = steps.findIndex(each => each.what === 'flush');
  t.true(l1 > barrier, 'the L1 entry comes after the first flush');
  t.is(steps.at(-1)?.what, 'flush');
  const before = steps.slice(0, barrier).map(each => each.offset);
  t.true(before.includes(0x2_0000 + 6) || before.some(at => at >= 0x2_0000 && at < 0x2_1000));
});
