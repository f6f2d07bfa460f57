/** Which flavour an open file gets, and that it keeps it. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { bdrv_lock, bdrv_unlock, createQcow2, openImage } from '../../src/block/index.js';
import { firstSupported } from '../../src/lock/drivers.js';
import {
  type LockDriver,
  LockError,
  type LockFlavour,
  lockDriverFor,
} from '../../src/lock/index.js';
import { NativeError } from '../../src/native/error.js';
import { Child } from '../_child.js';

// One after the other: the environment belongs to the process.
const test = (process.platform === 'linux' ? anyTest.serial : anyTest.skip) as TestFn;
test.beforeEach(() => {
  delete process.env['NVTPM_LOCK_FLAVOUR'];
});

function opened(t: ExecutionContext, flags: string) {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const fd = openSync(path, flags);
  t.teardown(() => closeSync(fd));
  return { path, fd };
}

test('a flavour can be forced, and one that the system does not have is refused by name', t => {
  const { path, fd } = opened(t, 'r+');
  t.is(lockDriverFor(fd, 'posix').flavour, 'posix');
  t.is(lockDriverFor(fd, 'ofd').flavour, 'ofd');
  t.is(lockDriverFor(fd, 'ofd'), lockDriverFor(fd, 'ofd'), 'one driver of a flavour serves all');
  const error = t.throws(() => lockDriverFor(fd, 'win32'), { instanceOf: LockError });
  t.is(error?.code, 'ENOTSUP');
  t.is(error?.message, `${path}: no usable file locks (win32: linux has no LockFileEx)`);
  t.throws(() => lockDriverFor(fd, 'nfs' as LockFlavour), { code: 'EINVAL', message: /'nfs'/ });
  t.is(lockDriverFor(fd).flavour, 'ofd');
  process.env['NVTPM_LOCK_FLAVOUR'] = 'posix';
  t.is(lockDriverFor(fd).flavour, 'posix');
  t.is(lockDriverFor(fd, 'ofd').flavour, 'ofd', 'the argument has precedence');
  process.env['NVTPM_LOCK_FLAVOUR'] = 'lockd';
  t.throws(() => lockDriverFor(fd), { code: 'EINVAL', message: /'lockd'; choose auto, ofd/ });
});

for (const flags of ['r', 'r+', 'a']) {
  test(`choosing a flavour for a descriptor opened '${flags}' locks nothing`, async t => {
    const { path, fd } = opened(t, flags);
    const other = new Child(t, 'lock/_locker.js', path);
    for (const flavour of ['ofd', 'posix'] as const) {
      t.is(lockDriverFor(fd, flavour).flavour, flavour);
      t.is(await other.ask('exclusive'), 'granted');
      t.is(
        lockDriverFor(fd, flavour).flavour,
        flavour,
        'nor does the lock of another process matter',
      );
      t.is(await other.ask('unlock'), 'granted');
    }
  });
}

test('a descriptor that is closed is an error, not a reason for another flavour', t => {
  const { path } = opened(t, 'r');
  const fd = openSync(path, 'r');
  closeSync(fd);
  t.throws(() => lockDriverFor(fd), { code: 'SYSTEM', message: /cannot query locks: EBADF/ });
});

test('auto takes the first flavour that the system and its kernel support', t => {
  const driver =
    (flavour: LockFlavour, supports?: boolean) =>
    (): LockDriver & {
      supports?: () => boolean;
    } => ({
      flavour,
      tryLock: () => true,
      unlock: () => {},
      holder: () => undefined,
      holders: () => [],
      ...(supports === undefined ? {} : { supports: () => supports }),
    });
  const absent = (): never => {
    throw new NativeError('this system has none');
  };
  const chosen = (...from: Parameters<typeof firstSupported>[1]) => firstSupported(0, from).flavour;
  t.is(chosen(['ofd', driver('ofd', true)], ['posix', driver('posix')]), 'ofd');
  t.is(chosen(['ofd', driver('ofd', false)], ['posix', driver('posix')]), 'posix');
  t.is(chosen(['ofd', absent], ['posix', driver('posix')]), 'posix');
  t.throws(() => chosen(['ofd', driver('ofd', false)], ['posix', absent]), {
    code: 'ENOTSUP',
    message: /\(ofd: this kernel has no such locks; posix: this system has none\)$/,
  });
});

test('locks need no directory for temporary files', t => {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  const main = join(ROOT, 'dist/src/cli/main.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'info', '--json', path], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: '/nonexistent' },
  });
  t.is(status, 0, `${stdout}${stderr}`);
  t.like(JSON.parse(stdout), { nvram: { outcome: 'EMPTY' }, lock: { holders: [] } });
});

test('what was locked is unlocked, whatever the environment says by then', async t => {
  const path = join(scratch(t), 'image.qcow2');
  createQcow2(path, { size: 2 ** 20 });
  const node = openImage(path);
  t.teardown(() => node.close());
  const other = new Child(t, 'lock/_locker.js', path);
  const locked = bdrv_lock(node);
  t.is(await other.ask('shared'), 'denied');
  process.env['NVTPM_LOCK_FLAVOUR'] = 'posix';
  bdrv_unlock(locked);
  t.is(await other.ask('exclusive'), 'granted');
});
