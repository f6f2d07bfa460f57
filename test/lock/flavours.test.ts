/** Both kinds of fcntl locks on Linux: between processes, between descriptors, waiting, holders. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import {
  chooseLockDriver,
  LockError,
  type LockFlavour,
  type LockType,
  lock,
  WHOLE_FILE,
} from '../../src/lock/index.js';
import { closeFile } from '../../src/lock/registry.js';
import { Child } from '../_child.js';
import { scratch } from '../_files.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function setUp(t: ExecutionContext, flavour: LockFlavour) {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const open = (): number => {
    const fd = openSync(path, 'r+');
    t.teardown(() => closeFile(fd));
    return fd;
  };
  return { path, open, driver: chooseLockDriver(flavour) };
}

// biome-ignore format: table
const MATRIX: readonly [held: LockType, asked: LockType, granted: boolean][] = [
  ['shared',    'shared',    true],
  ['shared',    'exclusive', false],
  ['exclusive', 'shared',    false],
  ['exclusive', 'exclusive', false],
];

for (const [held, asked, granted] of MATRIX) {
  const outcome = granted ? 'is granted' : 'is denied';
  for (const ours of ['ofd', 'posix'] as const) {
    for (const theirs of ['ofd', 'posix'] as const) {
      test(`${ours}: ${asked} beside ${held} (${theirs}) of another process ${outcome}`, async t => {
        const { path, open, driver } = setUp(t, ours);
        const other = new Child(t, 'lock/_locker.js', path, theirs);
        t.is(await other.ask(held), 'granted');
        t.is(driver.tryLock(open(), asked, WHOLE_FILE), granted);
      });
    }
    test(`${ours}: ${asked} beside ${held} of another descriptor here ${outcome}`, t => {
      const { open, driver } = setUp(t, ours);
      t.true(driver.tryLock(open(), held, WHOLE_FILE));
      t.is(driver.tryLock(open(), asked, WHOLE_FILE), granted);
    });
  }
}

for (const flavour of ['ofd', 'posix'] as const) {
  test(`${flavour}: a shared lock becomes exclusive where nobody else shares`, async t => {
    const { path, open, driver } = setUp(t, flavour);
    const other = new Child(t, 'lock/_locker.js', path);
    const fd = open();
    t.true(driver.tryLock(fd, 'shared', WHOLE_FILE));
    t.is(await other.ask('shared'), 'granted');
    t.false(driver.tryLock(fd, 'exclusive', WHOLE_FILE));
    t.is(await other.ask('exclusive'), 'denied', 'what we held before is held still');
    await other.ask('unlock');
    t.true(driver.tryLock(fd, 'exclusive', WHOLE_FILE));
    t.is(await other.ask('shared'), 'denied');
  });

  test(`${flavour}: an exclusive lock becomes shared`, async t => {
    const { path, open, driver } = setUp(t, flavour);
    const other = new Child(t, 'lock/_locker.js', path);
    const fd = open();
    driver.tryLock(fd, 'exclusive', WHOLE_FILE);
    t.true(driver.tryLock(fd, 'shared', WHOLE_FILE));
    t.is(await other.ask('exclusive'), 'denied');
    t.is(await other.ask('shared'), 'granted');
  });

  test(`${flavour}: locks of disjoint ranges do not meet`, t => {
    const { open, driver } = setUp(t, flavour);
    const [one, two] = [open(), open()];
    t.true(driver.tryLock(one, 'exclusive', { start: 300, length: 0 }));
    t.true(driver.tryLock(two, 'exclusive', { start: 100, length: 4 }));
    driver.unlock(two, { start: 100, length: 4 });
    t.is(driver.holder(two, 'shared', { start: 300, length: 1 })?.type, 'exclusive');
  });

  test(`${flavour}: the holder is named by process id and command`, async t => {
    const { path, open, driver } = setUp(t, flavour);
    const other = new Child(t, 'lock/_locker.js', path, flavour);
    await other.ask('exclusive');
    const fd = open();
    t.like(driver.holder(fd, 'shared', WHOLE_FILE), {
      type: 'exclusive',
      range: WHOLE_FILE,
      pid: other.process.pid,
      command: 'node _locker.js file',
    });
    await other.ask('unlock');
    t.is(driver.holder(fd, 'shared', WHOLE_FILE), undefined);
  });

  test(`${flavour}: a holder in this process is named too`, t => {
    const { open, driver } = setUp(t, flavour);
    driver.tryLock(open(), 'exclusive', WHOLE_FILE);
    t.like(driver.holder(open(), 'shared', WHOLE_FILE), { type: 'exclusive', pid: process.pid });
  });

  test(`${flavour}: a lock that the descriptor cannot have is an error, not a refusal`, t => {
    const { path, driver } = setUp(t, flavour);
    const fd = openSync(path, 'r');
    t.teardown(() => closeSync(fd));
    // fcntl(2): EBADF for a write lock on a descriptor that is not open for writing.
    t.throws(() => driver.tryLock(fd, 'exclusive', WHOLE_FILE), {
      code: 'SYSTEM',
      message: /EBADF/,
    });
  });
}

test('waiting ends with the name of the holder', async t => {
  const { path, open, driver } = setUp(t, 'ofd');
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  const wanted = { fd: open(), path, type: 'shared', range: WHOLE_FILE } as const;
  const error = t.throws(() => lock(driver, wanted, { timeoutMs: 30 }), { instanceOf: LockError });
  t.is(error?.code, 'LOCKED');
  t.is(error?.outcome, 'LOCKED');
  t.is(error?.holder?.pid, other.process.pid!);
  t.regex(error!.message, new RegExp(`locked by process ${other.process.pid} \\(node`));
});

test('waiting can be stopped', async t => {
  const { path, open, driver } = setUp(t, 'ofd');
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  let asked = 0;
  const aborted = (): boolean => ++asked > 3;
  const wanted = { fd: open(), path, type: 'exclusive', range: WHOLE_FILE } as const;
  t.throws(() => lock(driver, wanted, { aborted }), { code: 'ABORTED' });
});

test('what waiting can be asked for has limits', t => {
  const { path, open, driver } = setUp(t, 'ofd');
  const good = { fd: open(), path, type: 'shared', range: WHOLE_FILE } as const;
  for (const timeoutMs of [Number.NaN, Infinity, -1]) {
    t.throws(() => lock(driver, good, { timeoutMs }), { code: 'EINVAL', message: /time to wait/ });
  }
  for (const range of [
    { start: -1, length: 1 },
    { start: 0, length: -1 },
    { start: 0.5, length: 1 },
    { start: Number.MAX_SAFE_INTEGER, length: 1 },
    { start: Number.NaN, length: 0 },
  ]) {
    t.throws(() => lock(driver, { ...good, range }), { code: 'EINVAL', message: /no range/ });
  }
  const type = 'loose' as LockType;
  t.throws(() => lock(driver, { ...good, type }), { code: 'EINVAL', message: /no type of lock/ });
});

test('a flavour can be forced, and one that is not there is refused by name', t => {
  t.is(chooseLockDriver('posix').flavour, 'posix');
  t.is(chooseLockDriver('ofd').flavour, 'ofd');
  t.is(chooseLockDriver('ofd'), chooseLockDriver('ofd'), 'one driver of a flavour serves all');
  t.throws(() => chooseLockDriver('win32'), { code: 'ENOTSUP', message: /win32: linux has no/ });
  t.throws(() => chooseLockDriver('nfs' as LockFlavour), { code: 'EINVAL', message: /'nfs'/ });
  t.teardown(() => {
    delete process.env['NVTPM_LOCK_FLAVOUR'];
  });
  delete process.env['NVTPM_LOCK_FLAVOUR'];
  t.is(chooseLockDriver().flavour, 'ofd');
  process.env['NVTPM_LOCK_FLAVOUR'] = 'posix';
  t.is(chooseLockDriver().flavour, 'posix');
  t.is(chooseLockDriver('ofd').flavour, 'ofd', 'what the program asks for goes before');
  process.env['NVTPM_LOCK_FLAVOUR'] = 'lockd';
  t.throws(() => chooseLockDriver(), { code: 'EINVAL' });
});
