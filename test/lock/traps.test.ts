/**
 * What POSIX locks do to a process that opens a file twice or has threads, and what is done about
 * it: descriptors of the registry are kept apart, threads are refused by name, and what cannot be
 * prevented (other code closes the file) is noticed.
 */
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { bdrv_lock, bdrv_unlock, createQcow2, openFile, openImage } from '../../src/block/index.js';
import { type LockFlavour, lockDriverFor } from '../../src/lock/index.js';
import { Child } from '../_child.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function setUp(t: ExecutionContext, flavour: LockFlavour) {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  const lockDriver = (fd: number) => lockDriverFor(fd, flavour);
  const node = openImage(path, { lockDriver });
  t.teardown(() => node.close());
  return { path, node, lockDriver, other: new Child(t, 'lock/_locker.js', path) };
}

const descriptorsOf = (path: string): number =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  }).length;

for (const flavour of ['ofd', 'posix'] as const) {
  test(`${flavour}: a second open image, locked or closed, takes nothing from the first`, async t => {
    const { path, node, lockDriver, other } = setUp(t, flavour);
    const locked = bdrv_lock(node);
    const second = openImage(path, { lockDriver });
    t.throws(() => bdrv_lock(second, { timeoutMs: 5 }), {
      code: 'LOCKED',
      message: /locked by this process itself/,
    });
    second.close();
    openFile(path, { readOnly: true }).close();
    t.is(await other.ask('shared'), 'denied');
    t.notThrows(() => bdrv_unlock(locked));
    t.is(await other.ask('exclusive'), 'granted');
    t.is(descriptorsOf(path), 1, 'the deferred close has happened');
  });

  test(`${flavour}: two images that share the file unlock separately`, async t => {
    const { path, lockDriver, other } = setUp(t, flavour);
    const [one, two] = [1, 2].map(() => openImage(path, { lockDriver, readOnly: true }));
    t.teardown(() => two!.close());
    const lockOne = bdrv_lock(one!);
    const lockTwo = bdrv_lock(two!);
    bdrv_unlock(lockOne);
    one!.close();
    t.is(await other.ask('exclusive'), 'denied');
    bdrv_unlock(lockTwo);
    t.is(await other.ask('exclusive'), 'granted');
  });

  test(`${flavour}: an image that is closed while it is locked releases only its own lock`, async t => {
    const { path, lockDriver, other } = setUp(t, flavour);
    const [one, two] = [1, 2].map(() => openImage(path, { lockDriver, readOnly: true }));
    bdrv_lock(one!);
    bdrv_lock(two!);
    one!.close();
    t.is(await other.ask('exclusive'), 'denied');
    two!.close();
    t.is(await other.ask('exclusive'), 'granted');
    t.is(descriptorsOf(path), 1);
  });
}

test('ofd: a close behind our back does nothing', async t => {
  const { path, node, other } = setUp(t, 'ofd');
  const locked = bdrv_lock(node);
  closeSync(openSync(path, 'r'));
  t.is(await other.ask('shared'), 'denied');
  t.notThrows(() => bdrv_unlock(locked));
});

test('posix: a close behind our back drops the lock, which is noticed', async t => {
  const { path, node, other } = setUp(t, 'posix');
  const locked = bdrv_lock(node);
  t.is(await other.ask('shared'), 'denied');
  closeSync(openSync(path, 'r'));
  // The trap itself: the registry cannot know of this close.
  t.is(await other.ask('exclusive'), 'granted');
  t.throws(() => bdrv_unlock(locked), { code: 'LOST', message: /lost while it was held/ });
  t.is(await other.ask('unlock'), 'granted');
  t.notThrows(() => bdrv_unlock(bdrv_lock(node)), 'the next lock is a new one');
});

async function inThread(t: ExecutionContext, path: string, flavour: LockFlavour) {
  const script = join(ROOT, 'dist/test/lock/_thread.js');
  const worker = new Worker(script, { workerData: { path, flavour } });
  t.teardown(() => worker.terminate());
  // Both at once: a thread's last message may arrive in the same turn as its exit.
  const ended = once(worker, 'exit');
  const [outcome] = await once(worker, 'message');
  return { outcome: outcome as string, ended, end: () => worker.postMessage('end') };
}

test('ofd: a thread is excluded like a process, and its close drops nothing', async t => {
  const { path, node, other } = setUp(t, 'ofd');
  const locked = bdrv_lock(node);
  const { outcome, ended } = await inThread(t, path, 'ofd');
  t.is(outcome, 'denied');
  await ended;
  t.is(await other.ask('shared'), 'denied');
  bdrv_unlock(locked);
  t.is((await inThread(t, path, 'ofd')).outcome, 'granted');
});

test('posix: a thread is refused by name, and its close is noticed', async t => {
  const { path, node, other } = setUp(t, 'posix');
  const locked = bdrv_lock(node);
  const { outcome, end, ended } = await inThread(t, path, 'posix');
  t.regex(outcome, /POSIX locks do not exclude the threads of one process/);
  t.is(await other.ask('shared'), 'denied', 'the thread has not closed the file yet');
  end();
  await ended;
  t.throws(() => bdrv_unlock(locked), { code: 'LOST' });
});
