/** bdrv_lock and bdrv_unlock: the contract of the 2011 patch, and where it was too weak. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { using } from '../../lab/block/disk.js';
import { scratch } from '../../lab/files.js';
import { qemuCheck, qemuIo } from '../../lab/peers/qemu.js';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  checkImage,
  createQcow2,
  openFile,
  openImage,
  withLock,
} from '../../src/block/index.js';
import type { TraceEvent } from '../../src/trace.js';
import { Child } from '../_child.js';
import { peerTest } from '../_peers.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function image(t: ExecutionContext, name = 'image.qcow2'): string {
  const path = join(scratch(t), name);
  createQcow2(path, { size: 2 ** 20 });
  return path;
}

function opened(t: ExecutionContext, path: string, options = {}): BlockNode {
  const node = openImage(path, options);
  t.teardown(() => node.close());
  return node;
}

test('a writable node locks exclusively, a read-only one shares', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const writer = opened(t, path);
  const held = bdrv_lock(writer);
  t.is(held.type, 'exclusive');
  t.is(await other.ask('shared'), 'denied');
  bdrv_unlock(held);

  const reader = opened(t, path, { readOnly: true });
  const shared = bdrv_lock(reader);
  t.is(shared.type, 'shared');
  t.is(await other.ask('exclusive'), 'denied');
  t.is(await other.ask('shared'), 'granted');
  bdrv_unlock(shared);
});

test('locks nest, in any order: the last release releases the file', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const events: TraceEvent['event'][] = [];
  const node = opened(t, path, { trace: (e: TraceEvent) => events.push(e.event) });
  events.length = 0;
  const outer = bdrv_lock(node);
  const inner = bdrv_lock(node);
  bdrv_unlock(outer);
  t.is(await other.ask('shared'), 'denied');
  inner.write(0, new Uint8Array(1));
  bdrv_unlock(inner);
  t.is(await other.ask('exclusive'), 'granted');
  t.deepEqual([events.at(0), events.at(-1)], ['lock', 'unlock']);
  t.is(events.filter(event => event === 'lock').length, 1);
});

test('each open image counts for itself', async t => {
  // The counter of 2011 sat on the driver: with A locked, locking B did nothing.
  const [a, b] = [image(t, 'a'), image(t, 'b')];
  const other = new Child(t, 'lock/_locker.js', b);
  bdrv_lock(opened(t, a));
  bdrv_lock(opened(t, b));
  t.is(await other.ask('shared'), 'denied');
});

test('a lock that was released can neither be used nor released again', t => {
  const node = opened(t, image(t));
  const disk = bdrv_lock(node);
  bdrv_unlock(disk);
  t.throws(() => bdrv_unlock(disk), { code: 'NOT_LOCKED' });
  t.throws(() => disk.read(0, 1), { code: 'NOT_LOCKED' });
  t.throws(() => disk.write(0, new Uint8Array(1)), { code: 'NOT_LOCKED' });
  t.throws(() => checkImage(disk), { code: 'NOT_LOCKED' });
  t.notThrows(() => disk[Symbol.dispose]());
});

test('a shared lock is upgraded to an exclusive one, or that is denied', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const file = openFile(path);
  t.teardown(() => file.close());
  file.tryLock('shared');
  t.is(await other.ask('shared'), 'granted');
  t.is(file.tryLock('exclusive'), undefined);
  t.is(file.locks.type, 'shared');
  t.is(file.locks.depth, 1);
  await other.ask('unlock');
  file.tryLock('exclusive');
  t.is(file.locks.type, 'exclusive');
  t.is(await other.ask('shared'), 'denied');
});

test('no medium, no such type', t => {
  const node = openImage(image(t));
  node.close();
  t.throws(() => bdrv_lock(node), { code: 'ENOMEDIUM' });
  const file = openFile(image(t, 'other'));
  t.teardown(() => file.close());
  t.throws(() => file.tryLock('loose' as 'shared'), { code: 'EINVAL' });
});

test('the bytes that are locked can be chosen while nothing is held', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const file = openFile(path);
  t.teardown(() => file.close());
  file.locks.range = { start: 300, length: 0 };
  bdrv_lock(file);
  t.is(await other.ask('shared'), 'denied', 'a lock of the whole file is still denied');
  t.throws(() => {
    file.locks.range = { start: 0, length: 0 };
  });
});

test('two processes count in one image and lose nothing', async t => {
  const path = image(t);
  const rounds = 150;
  const workers = [1, 2].map(() => new Child(t, 'block/_counter.js', path, String(rounds)));
  t.deepEqual(await Promise.all(workers.map(worker => worker.ended())), [0, 0]);
  const bytes = using(path, disk => disk.read(0, 4), { readOnly: true });
  t.is(new DataView(bytes.buffer).getUint32(0), 2 * rounds);
});

peerTest('two processes allocate in one image and collide nowhere', ['qemu-img'], async t => {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 4 * 2 ** 20, clusterBits: 9, refcountBits: 64 });
  const rounds = 60;
  const workers = [1, 2].map(n => new Child(t, 'block/_allocator.js', path, `${n}`, `${rounds}`));
  t.deepEqual(await Promise.all(workers.map(worker => worker.ended())), [0, 0]);
  t.is(qemuCheck(path), 0);
  const disk = bdrv_lock(opened(t, path, { readOnly: true }));
  for (let slot = 0; slot < 2 * rounds; slot += 1) {
    const expected = new Uint8Array(3000).fill((slot % 2) + 1);
    t.is(Buffer.compare(disk.read(slot * 30_000, 3000), expected), 0, `slot ${slot}`);
  }
});

test('a full read of a shorter file is an error, not zeros', t => {
  const path = join(scratch(t), 'short');
  writeFileSync(path, 'abc');
  const file = openFile(path, { readOnly: true });
  t.teardown(() => file.close());
  t.throws(() => file.lock().read(0, 4), { code: 'IO', message: /ends before 4 bytes/ });
  t.is(readFileSync(path, 'utf8'), 'abc');
});

peerTest('what another process allocated is seen after the lock', ['qemu-io', 'qemu-img'], t => {
  const path = image(t);
  const node = opened(t, path);
  withLock(node, {}, disk => {
    disk.write(0, new Uint8Array(512).fill(1));
    t.is(disk.read(0x2_0000, 1)[0], 0);
  });
  qemuIo(path, 'write -P 7 128k 64k', 'write -P 8 0 512');
  withLock(node, {}, disk => {
    t.is(disk.read(0x2_0000, 1)[0], 7);
    t.is(disk.read(0, 1)[0], 8);
    disk.write(0x4_0000, new Uint8Array(70_000).fill(9));
  });
  t.is(qemuCheck(path), 0, 'our next clusters collide with none of theirs');
  node.close();
  qemuIo(path, 'read -P 7 128k 64k', 'read -P 8 0 512', 'read -P 9 256k 70000');
});
