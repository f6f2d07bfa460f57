/**
 * The rules that the lock of an image keeps, each by an image that another process changes, or by a
 * write that fails, in the one moment in which that matters.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { using, usingNode } from '../../lab/block/disk.js';
import { MemoryNode } from '../../lab/block/memory.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuImg, qemuIo, run } from '../../lab/peers/qemu.js';
import {
  bdrv_lock,
  checkImage,
  createQcow2,
  formatQcow2,
  ImageError,
  openFile,
  openImage,
  openQcow2,
  unreachable,
  withLock,
} from '../../src/block/index.js';
import { Qcow2Node } from '../../src/block/qcow2/node.js';
import { IoError } from '../../src/errors.js';
import { FaultNode, PowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { Child } from '../_child.js';
import { peerTest } from '../_peers.js';

const MIB = 2 ** 20;
const KIB = 2 ** 10;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

test('a lock is released clean, or its node is broken', t => {
  const path = join(scratch(t), 'a.qcow2');
  createQcow2(path, { size: MIB });
  // Write 1 is the data; write 2 is metadata, on the release.
  const effect = { kind: 'error', errno: 'ENOSPC' } as const;
  const a = openQcow2(new FaultNode(openFile(path), [{ on: 'write', nth: 2, effect }]));
  const b = openImage(path);
  t.teardown(() => [a, b].forEach(node => void node.close()));
  const held = bdrv_lock(a);
  held.write(0, filled(64 * KIB, 0xaa));
  t.throws(() => held.release(), { code: 'IO', message: /ENOSPC/ });
  t.throws(() => held.read(0, 1), { code: 'NOT_LOCKED' });

  withLock(b, { timeoutMs: 0 }, disk => disk.write(64 * KIB, filled(64 * KIB, 0xbb)));
  t.throws(() => bdrv_lock(a), { code: 'BROKEN', message: /ENOSPC.*open it again/ });
  using(path, disk => {
    t.like(checkImage(disk), { corruptions: 0, checkErrors: 0 });
    t.is(disk.read(0, 1)[0], 0, 'what was not flushed is lost');
    t.is(disk.read(64 * KIB, 1)[0], 0xbb, 'what the other wrote is not');
  });
});

for (const nth of [1, 2]) {
  test(`after flush ${nth} failed nothing is built on what may be lost`, t => {
    const file = new MemoryNode();
    formatQcow2(file, { size: MIB });
    const effect = { kind: 'error', errno: 'EIO' } as const;
    const node = openQcow2(new FaultNode(file, [{ on: 'flush', nth, effect }]));
    const disk = node.lock();
    disk.write(0, filled(1000, 1));
    // An allocating flush is two flushes of the file.
    t.throws(() => disk.flush(), { code: 'IO', message: /EIO/ });
    file.log.length = 0;
    t.throws(() => disk.flush(), { message: /EIO/ });
    t.throws(() => disk.write(0, new Uint8Array(1)), { message: /EIO/ });
    t.throws(() => disk.release(), { message: /EIO/ });
    t.throws(() => node.lock(), { code: 'BROKEN' });
    t.is(file.log.filter(each => each.what === 'write').length, 0);
    t.like(usingNode(openQcow2(file), checkImage), { corruptions: 0, checkErrors: 0 });
  });
}

test('an abandoned lock leaks at most, and leaves a sound node', t => {
  const file = new MemoryNode();
  formatQcow2(file, { size: MIB });
  const node = openQcow2(file);
  const held = node.lock();
  held.write(0, filled(100_000, 1));
  held.abandon();
  withLock(node, {}, disk => {
    t.like(checkImage(disk), { corruptions: 0, leaks: 0 });
    t.is(disk.read(0, 1)[0], 0);
    disk.write(0, filled(100_000, 2));
  });
  t.like(usingNode(openQcow2(file), checkImage), { corruptions: 0, leaks: 0 });
});

peerTest(
  'only a damage found under the exclusive lock is marked, by that one bit',
  ['qemu-img'],
  t => {
    const path = join(scratch(t), 'a.qcow2');
    createQcow2(path, { size: MIB, clusterBits: 12 });
    const a = openImage(path);
    t.teardown(() => a.close());
    withLock(a, {}, disk => disk.read(0, 512));
    // Another process changes the header; what A remembers of it is stale now.
    using(path, disk => {
      disk.truncate(2 ** 32);
      for (let i = 0; i < 200; i += 1) disk.write(i * 4096, filled(4096, 0x55));
    });
    withLock(a, {}, disk => t.is(disk.read(199 * 4096, 1)[0], 0x55, 'and is not used'));
    t.is(qemuCheck(path), 0);

    const file = readFileSync(path);
    const l1 = Number(file.readBigUInt64BE(40));
    const l2 = Number(file.readBigUInt64BE(l1) & 0xff_ffff_fe00n);
    // The cluster of guest byte 0 starts within a cluster.
    file.writeUInt16BE(0x0200, l2 + 6);
    writeFileSync(path, file);
    const shared = a.tryLock('shared');
    t.throws(() => shared?.read(0, 1), { code: 'DAMAGED', message: /unaligned/ });
    shared?.release();
    t.deepEqual(readFileSync(path), file, 'under a shared lock nothing is written');

    const held = bdrv_lock(a);
    held.write(8 * 4096 * 512, filled(4096, 7));
    t.throws(() => held.read(0, 1), { code: 'DAMAGED', message: /unaligned/ });
    t.throws(() => held.read(4096, 1), { code: 'DAMAGED' });
    held.release();
    const marked = readFileSync(path);
    t.is(marked[79], 2);
    marked[79] = 0;
    t.deepEqual(marked.subarray(0, l2 + 8), file.subarray(0, l2 + 8), 'and nothing else is');
    t.throws(() => bdrv_lock(a), { code: 'DAMAGED' });
  },
);

test('a refcount block that could not be added is not found in the way later', t => {
  // Each write of the file fails once, in the middle of allocations: the smallest cache has to write.
  for (let nth = 1; nth <= 100; nth += 1) {
    const file = new MemoryNode();
    formatQcow2(file, { size: MIB, clusterBits: 9, refcountBits: 64 });
    const effect = { kind: 'error', errno: 'ENOSPC' } as const;
    const script = [{ on: 'write', nth, times: 3, effect }] as const;
    const disk = openQcow2(new FaultNode(file, script), { cacheBytes: 1 }).lock();
    for (let i = 0; i < 12; i += 1) {
      try {
        // More than two blocks of 64 refcounts.
        disk.write(i * 85_000, filled(80_000, i + 1));
      } catch (error) {
        t.is((error as { code: string }).code, 'IO', `write ${nth}, ${i}: ${error}`);
      }
    }
    disk.release();
    const found = usingNode(openQcow2(file), checkImage);
    t.like(found, { corruptions: 0, checkErrors: 0 }, `write ${nth}`);
  }
});

peerTest('a write that ends early leaves no bytes where zeros belong', ['prlimit'], async t => {
  const path = join(scratch(t), 'a.qcow2');
  createQcow2(path, { size: MIB });
  using(path, disk => disk.write(0, filled(64 * KIB, 1)));
  const writer = new Child(t, 'block/_short-write.js', path);
  t.is(await writer.line(), 'EFBIG');
  t.is(await writer.ended(), 0);
  using(path, disk => {
    t.deepEqual(disk.read(12 * 64 * KIB, 512), filled(512, 0x11));
    t.deepEqual(disk.read(12 * 64 * KIB + 512, 65_024), new Uint8Array(65_024));
    t.like(checkImage(disk), { corruptions: 0, leaks: 0 });
  });
});

peerTest('opening a dirty image locks and writes nothing', ['qemu-img', 'qemu-io'], async t => {
  const folder = scratch(t);
  const path = join(folder, 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '1M');
  run('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 0 64k', '-c', 'flush', '-c', 'abort', path);
  const before = readFileSync(path);
  t.is(before[79], 1, 'the image is dirty');
  const other = new Child(t, 'lock/_locker.js', path);
  t.is(await other.ask('exclusive'), 'granted');
  for (const wrap of [false, true]) {
    const file = openFile(path);
    // Waiting for the lock would end in LOCKED.
    const node = openQcow2(wrap ? new FaultNode(file, []) : file);
    t.is(node.tryLock(), undefined);
    node.close();
    t.deepEqual(readFileSync(path), before);
  }
  await other.ask('unlock');
  using(path, disk => {
    disk.read(0, 1);
    t.deepEqual(readFileSync(path), before, 'a read repairs nothing');
    disk.write(0, filled(1, 4));
  });
  t.is(readFileSync(path)[79], 0);
  t.is(qemuCheck(path), 0);
});

peerTest(
  'tables that another process moved in place are not taken for what they were',
  ['qemu-img', 'qemu-io'],
  t => {
    const path = join(scratch(t), 'a.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=off', path, '1M');
    qemuIo(path, 'write -P 1 0 64k', 'write -P 1 128k 512k');
    qemuImg('snapshot', '-c', 's', path);
    const node = openImage(path);
    t.teardown(() => node.close());
    // A copy of the L2 table, and of a cluster.
    withLock(node, {}, disk => disk.write(0, filled(100, 2)));
    // In place: what the node knows of the tables is kept for its next lock.
    withLock(node, {}, disk => disk.write(0, filled(100, 3)));
    const header = readFileSync(path).subarray(0, 112);
    const { length } = readFileSync(path);
    // Going back frees both; what is written next takes their places.
    qemuImg('snapshot', '-a', 's', path);
    qemuIo(path, 'write -P 5 0 64k', 'write -P 6 128k 64k', 'write -P 7 192k 64k');
    t.deepEqual(readFileSync(path).subarray(0, 112), header, 'the header is the same');
    t.true(readFileSync(path).length >= length);
    withLock(node, {}, disk => {
      disk.write(0, filled(64 * KIB, 8));
      disk.write(128 * KIB, filled(128 * KIB, 9));
      t.like(checkImage(disk), { corruptions: 0, checkErrors: 0 });
    });
    t.is(readFileSync(path)[79], 0, 'the image is not marked corrupt');
    t.is(qemuCheck(path), 0);
  },
);

peerTest('snapshots that another process deleted and made are seen', ['qemu-img', 'qemu-io'], t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  qemuIo(path, 'write -P 1 0 256k');
  qemuImg('snapshot', '-c', 'one', path);
  const node = openImage(path);
  t.teardown(() => node.close());
  withLock(node, {}, disk => disk.write(0, filled(100, 2)));
  const before = readFileSync(path);
  qemuImg('snapshot', '-d', 'one', path);
  qemuImg('snapshot', '-c', 'two', path);
  withLock(node, {}, disk => {
    t.deepEqual(unreachable(disk), [{ kind: 'snapshot', name: 'two' }]);
    for (let i = 0; i < 16; i += 1) disk.write(i * 64 * KIB, filled(64 * KIB, i + 1));
    t.like(checkImage(disk), { corruptions: 0, checkErrors: 0, leaks: 0 });
  });
  t.is(qemuCheck(path), 0);
  t.true(readFileSync(path).length > before.length);
  qemuImg('snapshot', '-a', 'two', path);
  qemuIo(path, 'read -P 2 0 100', 'read -P 1 100 32k', 'read -P 1 64k 64k');
});

peerTest(
  'a table that could not be replaced stays, and its copy is undone',
  ['qemu-img', 'qemu-io'],
  t => {
    const path = join(scratch(t), 'a.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
    qemuIo(path, 'write -P 1 0 256k');
    qemuImg('snapshot', '-c', 's', path);
    using(path, disk => {
      // The cache has to write before it can load the L1 table again, and that fails once.
      const { cache } = Qcow2Node.diskOf(disk)!;
      const { setWord } = cache;
      cache.setWord = () => {
        cache.setWord = setWord;
        throw new IoError('write', path, Object.assign(new Error('full'), { code: 'ENOSPC' }));
      };
      t.throws(() => disk.write(0, filled(100, 2)), { code: 'IO' });
      disk.flush();
      t.like(checkImage(disk), { corruptions: 0, leaks: 0 });
      disk.write(0, filled(100, 3));
    });
    t.is(qemuCheck(path), 0);
    qemuIo(path, 'read -P 3 0 100', 'read -P 1 100 64k');
  },
);

peerTest('a snapshot table that changed in place is read again', ['qemu-img'], t => {
  const path = join(scratch(t), 'a.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  qemuImg('snapshot', '-c', 'one', path);
  const node = openImage(path);
  t.teardown(() => node.close());
  const names = (): string[] =>
    withLock(node, {}, disk => unreachable(disk).map(each => each.name));
  t.deepEqual(names(), ['one']);
  const file = readFileSync(path);
  file.write('two', file.indexOf('one', 0x1_0000));
  writeFileSync(path, file);
  t.deepEqual(names(), ['two']);
});

test('a table that the file may refer to is not written together with refcounts', t => {
  // Of a commit the L1 entry lands, then an L2 entry of another table cannot be written.
  const template = new MemoryNode();
  formatQcow2(template, { size: MIB, clusterBits: 9, refcountBits: 64 });
  usingNode(openQcow2(template), disk => disk.write(0, filled(100, 1)));
  const image = template.view.slice();
  let landings = 0;
  for (let step = 0, finished = false; !finished; step += 1) {
    const below = new SimulatedDisk(image);
    const probe = new FaultNode(below, []);
    const lastWrite = writesOf(image);
    const effect = { kind: 'error', errno: 'EIO' } as const;
    const fault = new FaultNode(below, [{ on: 'write', nth: lastWrite, effect }]);
    probe.close();
    const disk = openQcow2(fault).lock();
    disk.write(1000, filled(100, 2));
    disk.write(40_000, filled(100, 3));
    t.throws(() => disk.flush(), { code: 'IO' });
    below.cutPowerAfter(step);
    try {
      disk.write(41_000, filled(100, 4));
      disk.flush();
      finished = true;
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    for (const platter of below.wreckages(5000)) {
      landings += 1;
      const { corruptions, problems } = usingNode(openQcow2(new MemoryNode(platter)), checkImage);
      t.is(corruptions, 0, `step ${step}: ${problems[0]}`);
    }
  }
  t.true(landings > 20, `${landings}`);
});

/** How many writes of the file the two changes and their flush make. */
function writesOf(image: Uint8Array): number {
  const file = new FaultNode(new MemoryNode(new Uint8Array(image)), []);
  withLock(openQcow2(file), {}, disk => {
    disk.write(1000, filled(100, 2));
    disk.write(40_000, filled(100, 3));
    disk.flush();
  });
  return file.counts.write;
}

peerTest('an overlay whose backing file was exchanged is not read', ['qemu-img', 'qemu-io'], t => {
  const folder = scratch(t);
  const [path, base] = [join(folder, 'a'), join(folder, 'base')];
  qemuImg('create', '-q', '-f', 'qcow2', base, '1M');
  qemuIo(base, 'write -P 1 0 64k');
  copyFileSync(base, join(folder, 'other'));
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', path);
  const node = openImage(path, { backing: () => true });
  t.teardown(() => node.close());
  withLock(node, {}, disk => t.is(disk.read(0, 1)[0], 1));
  qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'other', '-F', 'qcow2', path);
  const error = t.throws(() => withLock(node, {}, disk => disk.length), { code: 'BROKEN' });
  t.true(error instanceof ImageError);
  using(path, disk => t.is(disk.read(0, 1)[0], 1), { backing: () => true });
});

test('the lock of an overlay is the lock of its backing file, too', async t => {
  const folder = scratch(t);
  const [path, base] = [join(folder, 'a'), join(folder, 'base')];
  createQcow2(base, { size: MIB });
  createQcow2(path, { size: MIB, backing: { name: 'base', format: 'qcow2' } });
  const node = openImage(path, { backing: () => true });
  t.teardown(() => node.close());
  const other = new Child(t, 'lock/_locker.js', base);
  t.is(await other.ask('exclusive'), 'granted');
  t.throws(() => bdrv_lock(node, { timeoutMs: 0 }), { code: 'LOCKED' });
  t.is(await other.ask('unlock'), 'granted');
  const held = bdrv_lock(node);
  t.is(await other.ask('exclusive'), 'denied');
  held.release();
  t.is(await other.ask('exclusive'), 'granted');
});
