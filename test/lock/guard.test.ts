/** The image guard between our own processes: which roles coexist, and what is left afterwards. */
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import {
  type BlockNode,
  bdrv_lock,
  bdrv_unlock,
  CYCLE_RANGE,
  createQcow2,
  type GuardRole,
  guardBytes,
  imageHolders,
  type OpenImageOptions,
  openImage,
  takeGuard,
} from '../../src/block/index.js';
import { EXIT_CODES } from '../../src/cli/exit-codes.js';
import { LockError, lockDriverFor, WHOLE_FILE } from '../../src/lock/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { Child } from '../_child.js';
import { fileOf } from './_file-of.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function image(t: ExecutionContext): string {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  return path;
}

function opened(t: ExecutionContext, path: string, options: OpenImageOptions = {}): BlockNode {
  const node = openImage(path, options);
  t.teardown(() => node.close());
  return node;
}

const ROLES = ['writer', 'reader', 'probe', 'sharing', 'incoming'] as const;
/** Which role may join which: derived by hand from QEMU's permissions. */
// biome-ignore format: table
const BESIDE: Readonly<Record<GuardRole, string>> = {
  //         writer reader probe sharing incoming
  writer:   'no     no     no    yes     yes',
  reader:   'no     yes    yes   yes     yes',
  probe:    'no     yes    yes   yes     yes',
  sharing:  'yes    yes    yes   yes     yes',
  incoming: 'yes    yes    yes   yes     yes',
};
for (const there of ROLES) {
  test(`roles that may join role ${there}`, async t => {
    const path = image(t);
    const first = new Child(t, 'lock/_guard.js', path, there);
    t.is(await first.line(), guardBytes(there).join(' '));
    for (const [at, role] of ROLES.entries()) {
      const may = BESIDE[there].split(/ +/)[at] === 'yes';
      const node = opened(t, path, { readOnly: role !== 'writer' });
      if (may) {
        t.notThrows(() => takeGuard(node, role).release(), role);
      } else {
        const error = t.throws(() => takeGuard(node, role), { instanceOf: LockError }, role);
        t.is(error?.holder?.pid, first.process.pid);
        t.is(EXIT_CODES[error!.outcome], 9);
      }
    }
  });
}

test('the refusal names the process, what it does, and what to do', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_guard.js', path, 'writer');
  await other.line();
  const who = `process ${other.process.pid} \\(node _guard.js image.qcow2\\)`;
  t.throws(() => takeGuard(opened(t, path), 'writer'), {
    code: 'LOCKED',
    message: new RegExp(`is in use: ${who} lets no other process write to it .*stop that machine`),
  });
  t.throws(() => takeGuard(opened(t, path, { readOnly: true }), 'reader'), {
    code: 'LOCKED',
    message: new RegExp(`is in use: ${who} may write to it .*--force-share`),
  });
});

test('a refused guard leaves no byte locked', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_guard.js', path, 'writer');
  await other.line();
  const node = opened(t, path);
  t.throws(() => takeGuard(node, 'writer'), { code: 'LOCKED' });
  t.deepEqual(fileOf(node).locks.range, WHOLE_FILE);
  await other.kill();
  const third = new Child(t, 'lock/_guard.js', path, 'writer');
  t.is(await third.line(), '100 101 103 201 203');
});

test('a guard is free as soon as its holder is released, closed or killed', async t => {
  const path = image(t);
  const first = opened(t, path);
  const guard = takeGuard(first, 'writer');
  guard.release();
  guard.release();
  const second = opened(t, path);
  const closed = takeGuard(second, 'writer');
  second.close();
  t.notThrows(() => closed.release());
  const other = new Child(t, 'lock/_guard.js', path, 'writer');
  t.is(await other.line(), '100 101 103 201 203');
  await other.kill();
  t.notThrows(() => takeGuard(first, 'writer', 'on', { timeoutMs: 1000 }));
});

test('a lock on the whole file refuses the guard, or delays it where waiting is allowed', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  const node = opened(t, path);
  t.throws(() => takeGuard(node, 'writer'), { code: 'LOCKED', message: /has locked the whole/ });
  const waiting = other.ask('unlock');
  t.notThrows(() => takeGuard(node, 'writer', 'auto', { timeoutMs: 5000 }));
  await waiting;
});

test('the range of bdrv_lock starts behind the bytes of a guard, and is the whole file after it', async t => {
  const path = image(t);
  const other = new Child(t, 'lock/_locker.js', path);
  const node = opened(t, path);
  const { locks } = fileOf(node);
  const guard = takeGuard(node, 'writer');
  t.deepEqual(locks.range, CYCLE_RANGE);
  const locked = bdrv_lock(node);
  t.throws(() => guard.release(), undefined, 'not while the lock is held');
  bdrv_unlock(locked);
  t.is(await other.ask('exclusive'), 'denied', 'a lock on the whole file conflicts with the guard');
  guard.release();
  t.deepEqual(locks.range, WHOLE_FILE);
  t.is(await other.ask('exclusive'), 'granted');
});

test('a migration target validates beside the active source', async t => {
  const path = image(t);
  const source = new Child(t, 'lock/_guard.js', path, 'writer');
  await source.line();
  const target = opened(t, path);
  // On the whole file its lock would meet the bytes of the source.
  t.throws(() => bdrv_lock(target, { timeoutMs: 0 }), { code: 'LOCKED' });
  const incoming = takeGuard(target, 'incoming');
  bdrv_unlock(bdrv_lock(target, { timeoutMs: 0 }));
  await source.kill();
  incoming.release();
  t.deepEqual(takeGuard(target, 'writer').bytes, [100, 101, 103, 201, 203]);
});

test('modes', t => {
  const path = image(t);
  const lockDriver = (fd: number) => lockDriverFor(fd, 'posix');
  const ofd = opened(t, path);
  const posix = opened(t, path, { lockDriver });
  t.deepEqual(takeGuard(ofd, 'writer', 'off').bytes, []);
  t.deepEqual(takeGuard(posix, 'writer', 'auto').bytes, [], 'QEMU does likewise');
  t.deepEqual(fileOf(posix).locks.range, WHOLE_FILE);
  const guard = takeGuard(posix, 'writer', 'on');
  t.deepEqual(guard.bytes, [100, 101, 103, 201, 203]);
  t.throws(() => takeGuard(posix, 'reader', 'on'), { code: 'EINVAL', message: /a guard already/ });
  t.throws(() => takeGuard(ofd, 'writer'), { code: 'LOCKED', message: /this process itself/ });
  guard.release();
  const reader = opened(t, path, { readOnly: true });
  t.throws(() => takeGuard(reader, 'writer'), { code: 'EINVAL', message: /read-only/ });
  const memory = new SimulatedDisk(4096);
  t.deepEqual(takeGuard(memory, 'writer', 'auto').bytes, []);
  t.throws(() => takeGuard(memory, 'writer', 'on'), { code: 'ENOTSUP' });
});

test('the holders of an image are listed', async t => {
  const path = image(t);
  const node = opened(t, path, { readOnly: true });
  t.deepEqual(imageHolders(node), []);
  const readers = [1, 2].map(() => new Child(t, 'lock/_guard.js', path, 'reader'));
  const sharing = new Child(t, 'lock/_guard.js', path, 'sharing');
  const whole = new Child(t, 'lock/_locker.js', path);
  for (const each of [...readers, sharing]) await each.line();
  const guard = takeGuard(node, 'reader');
  await whole.ask('shared');
  const command = (role: string) => `node _${role}.js image.qcow2`;
  const byPid = (a: { pid?: number }, b: { pid?: number }) => a.pid! - b.pid!;
  const expected = [
    ...[...readers, sharing].map((child, i) => ({
      pid: child.process.pid!,
      command: command('guard'),
      bytes: i < 2 ? [100, 201, 203] : [100],
      role: i < 2 ? 'reader' : 'sharing',
    })),
    { pid: whole.process.pid!, command: command('locker'), bytes: [], cycle: 'shared' },
  ];
  t.deepEqual([...imageHolders(node)].sort(byPid), expected.sort(byPid) as never, 'not ourselves');
  guard.release();
  const error = t.throws(() => takeGuard(node, 'reader'), { instanceOf: LockError });
  t.is(error?.holder?.pid, whole.process.pid, 'of several holders the conflicting one is named');
  t.regex(error!.message, /has locked the whole file/);
});
