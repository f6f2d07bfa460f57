/** bdrv_lock and bdrv_unlock: the contract of the 2011 patch, and where it was too weak. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  createQcow2,
  openFile,
  openImage,
} from '../../src/block/index.js';
import type { TraceEvent } from '../../src/trace.js';
import { Child } from '../_child.js';
import { scratch } from '../_files.js';
import { peerTest } from '../_peers.js';
import { qemuCheck, qemuIo } from '../_qemu.js';

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
  bdrv_lock(writer);
  t.is(writer.file?.locks?.type, 'exclusive');
  t.is(await other.ask('shared'), 'denied');
  bdrv_unlock(writer);

  const reader = opened(t, path, { readOnly: true });
  bdrv_lock(reader);
  t.is(await other.ask('exclusive'), 'denied');
  t.is(await other.ask('shared'), 'granted');
  bdrv_unlock(reader);
});

test('locks nest: the last unlock gives it back', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const events: TraceEvent['event'][] = [];
  const node = opened(t, path, { trace: (e: TraceEvent) => events.push(e.event) });
  events.length = 0;
  bdrv_lock(node);
  bdrv_lock(node);
  bdrv_unlock(node);
  t.is(await other.ask('shared'), 'denied');
  bdrv_unlock(node);
  t.is(await other.ask('exclusive'), 'granted');
  t.deepEqual(events, ['lock', 'unlock']);
});

test('each open image counts for itself', async t => {
  // The counter of 2011 sat on the driver: with A locked, locking B did nothing.
  const [a, b] = [image(t, 'a'), image(t, 'b')];
  const other = new Child(t, 'lock/_locker.js', b);
  bdrv_lock(opened(t, a));
  bdrv_lock(opened(t, b));
  t.is(await other.ask('shared'), 'denied');
});

test('unlocking what is not locked is an error and leaves no trace', t => {
  const node = opened(t, image(t));
  t.throws(() => bdrv_unlock(node), { code: 'NOT_LOCKED' });
  bdrv_lock(node);
  t.is(node.file?.locks?.depth, 1);
  bdrv_unlock(node);
  t.throws(() => bdrv_unlock(node), { code: 'NOT_LOCKED' });
});

test('shared asked to become exclusive is upgraded, or refused by name', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const file = openFile(path);
  t.teardown(() => file.close());
  file.locks.acquire('shared', {});
  t.is(await other.ask('shared'), 'granted');
  t.throws(() => file.locks.acquire('exclusive', { timeoutMs: 5 }), { code: 'LOCKED' });
  t.is(file.locks.type, 'shared');
  t.is(file.locks.depth, 1);
  await other.ask('unlock');
  file.locks.acquire('exclusive', {});
  t.is(file.locks.type, 'exclusive');
  t.is(await other.ask('shared'), 'denied');
});

test('no medium, no lock below, no such type', t => {
  const node = openImage(image(t));
  node.close();
  t.throws(() => bdrv_lock(node), { code: 'ENOMEDIUM' });
  const lockless = { file: undefined, path: 'nowhere', readOnly: false } as BlockNode;
  t.throws(() => bdrv_lock(lockless), { code: 'ENOTSUP' });
  const file = openFile(image(t));
  t.teardown(() => file.close());
  t.throws(() => file.locks.acquire('loose' as 'shared', {}), { code: 'EINVAL' });
});

test('the bytes that are locked can be chosen while nothing is held', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const node = opened(t, path);
  node.file!.locks!.range = { start: 300, length: 0 };
  bdrv_lock(node);
  t.is(await other.ask('shared'), 'denied', 'whoever locks the whole file still meets it');
  t.throws(() => {
    node.file!.locks!.range = { start: 0, length: 0 };
  });
});

test('two processes count in one image and lose nothing', async t => {
  const path = image(t);
  const rounds = 150;
  const workers = [1, 2].map(() => new Child(t, 'block/_counter.js', path, String(rounds)));
  t.deepEqual(await Promise.all(workers.map(worker => worker.ended())), [0, 0]);
  const view = new DataView(opened(t, path, { readOnly: true }).read(0, 4).buffer);
  t.is(view.getUint32(0), 2 * rounds);
});

peerTest('two processes allocate in one image and collide nowhere', ['qemu-img'], async t => {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 4 * 2 ** 20, clusterBits: 9, refcountBits: 64 });
  const rounds = 60;
  const workers = [1, 2].map(n => new Child(t, 'block/_allocator.js', path, `${n}`, `${rounds}`));
  t.deepEqual(await Promise.all(workers.map(worker => worker.ended())), [0, 0]);
  t.is(qemuCheck(path), 0);
  const node = opened(t, path, { readOnly: true });
  for (let slot = 0; slot < 2 * rounds; slot += 1) {
    const expected = new Uint8Array(3000).fill((slot % 2) + 1);
    t.is(Buffer.compare(node.read(slot * 30_000, 3000), expected), 0, `slot ${slot}`);
  }
});

test('a full read of a shorter file is an error, not zeros', t => {
  const path = join(scratch(t), 'short');
  writeFileSync(path, 'abc');
  const file = openFile(path, { readOnly: true });
  t.teardown(() => file.close());
  t.throws(() => file.read(0, 4), { code: 'IO', message: /ends before 4 bytes/ });
  t.is(readFileSync(path, 'utf8'), 'abc');
});

peerTest('what another process allocated is seen after the lock', ['qemu-io', 'qemu-img'], t => {
  const path = image(t);
  const node = openImage(path);
  node.write(0, new Uint8Array(512).fill(1));
  node.flush();
  t.is(node.read(0x2_0000, 1)[0], 0);
  qemuIo(path, 'write -P 7 128k 64k', 'write -P 8 0 512');

  bdrv_lock(node);
  t.is(node.read(0x2_0000, 1)[0], 7);
  t.is(node.read(0, 1)[0], 8);
  node.write(0x4_0000, new Uint8Array(70_000).fill(9));
  bdrv_unlock(node);
  t.is(qemuCheck(path), 0, 'our next clusters collide with none of theirs');
  node.close();
  qemuIo(path, 'read -P 7 128k 64k', 'read -P 8 0 512', 'read -P 9 256k 70000');
});
