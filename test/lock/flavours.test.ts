/** Both flavours of fcntl locks on Linux: between processes, between descriptors, holders. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import {
  closeFile,
  type LockFlavour,
  type LockType,
  lockDriverFor,
  WHOLE_FILE,
} from '../../src/lock/index.js';
import { Child } from '../_child.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function setUp(t: ExecutionContext, flavour: LockFlavour) {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const open = (): number => {
    const fd = openSync(path, 'r+');
    t.teardown(() => closeFile(fd));
    return fd;
  };
  return { path, open, driver: lockDriverFor(open(), flavour) };
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
  test(`${flavour}: a shared lock becomes exclusive where it is not shared`, async t => {
    const { path, open, driver } = setUp(t, flavour);
    const other = new Child(t, 'lock/_locker.js', path);
    const fd = open();
    t.true(driver.tryLock(fd, 'shared', WHOLE_FILE));
    t.is(await other.ask('shared'), 'granted');
    t.false(driver.tryLock(fd, 'exclusive', WHOLE_FILE));
    t.is(await other.ask('exclusive'), 'denied', 'the shared lock is kept');
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

  test(`${flavour}: locks of disjoint ranges do not conflict`, t => {
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

  test(`${flavour}: a lock that the descriptor does not allow is an error, not a denial`, t => {
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
