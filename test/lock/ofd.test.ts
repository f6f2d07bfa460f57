/** Locks between processes, on a Linux that has locks of the open file description. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import anyTest, { type ExecutionContext, type TestFn } from 'ava';
import { loadFcntl } from '../../src/lock/fcntl.js';
import {
  chooseLockDriver,
  LockError,
  type LockType,
  lock,
  WHOLE_FILE,
} from '../../src/lock/index.js';
import { Child } from '../_child.js';
import { scratch, toHex } from '../_files.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

function setUp(t: ExecutionContext) {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const open = (): number => {
    const fd = openSync(path, 'r+');
    t.teardown(() => closeSync(fd));
    return fd;
  };
  return { path, open, driver: chooseLockDriver('ofd') };
}

test('struct flock is laid out as the system has it', t => {
  // Field by field from fcntl(2) and the x86-64 and arm64 ABIs: type 1 = F_WRLCK, start, length.
  t.is(
    toHex(loadFcntl().encode('exclusive', { start: 0x0102030405, length: 2 })),
    '0100000000000000' + '0504030201000000' + '0200000000000000' + '0000000000000000',
  );
});

// biome-ignore format: table
const MATRIX: readonly [held: LockType, asked: LockType, granted: boolean][] = [
  ['shared',    'shared',    true],
  ['shared',    'exclusive', false],
  ['exclusive', 'shared',    false],
  ['exclusive', 'exclusive', false],
];
for (const [held, asked, granted] of MATRIX) {
  const outcome = granted ? 'is granted' : 'is denied';
  test(`${asked} beside ${held} of another process ${outcome}`, async t => {
    const { path, open, driver } = setUp(t);
    const other = new Child(t, 'lock/_locker.js', path);
    t.is(await other.ask(held), 'granted');
    t.is(driver.tryLock(open(), asked, WHOLE_FILE), granted);
  });
  test(`${asked} beside ${held} of another descriptor here ${outcome}`, t => {
    const { open, driver } = setUp(t);
    t.true(driver.tryLock(open(), held, WHOLE_FILE));
    t.is(driver.tryLock(open(), asked, WHOLE_FILE), granted);
  });
}

test('closing another descriptor of the file does not drop the lock', async t => {
  const { path, open, driver } = setUp(t);
  t.true(driver.tryLock(open(), 'exclusive', WHOLE_FILE));
  closeSync(openSync(path, 'r'));
  const other = new Child(t, 'lock/_locker.js', path);
  t.is(await other.ask('shared'), 'denied');
});

test('locks of disjoint ranges do not meet', t => {
  const { open, driver } = setUp(t);
  const [one, two] = [open(), open()];
  t.true(driver.tryLock(one, 'exclusive', { start: 300, length: 0 }));
  t.true(driver.tryLock(two, 'exclusive', { start: 100, length: 4 }));
  driver.unlock(two, { start: 100, length: 4 });
  t.is(driver.holder(two, 'shared', { start: 300, length: 1 })?.type, 'exclusive');
});

test('the holder is named by process id and command', async t => {
  const { path, open, driver } = setUp(t);
  const other = new Child(t, 'lock/_locker.js', path);
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

test('waiting ends with the name of the holder', async t => {
  const { path, open, driver } = setUp(t);
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  const wanted = { fd: open(), path, type: 'shared', range: WHOLE_FILE } as const;
  const error = t.throws(() => lock(driver, wanted, { timeoutMs: 30 }), { instanceOf: LockError });
  t.is(error?.code, 'LOCKED');
  t.is(error?.holder?.pid, other.process.pid!);
  t.regex(error!.message, new RegExp(`locked by process ${other.process.pid} \\(node`));
});

test('waiting can be stopped', async t => {
  const { path, open, driver } = setUp(t);
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  let asked = 0;
  const aborted = (): boolean => ++asked > 3;
  const wanted = { fd: open(), path, type: 'exclusive', range: WHOLE_FILE } as const;
  t.throws(() => lock(driver, wanted, { aborted }), { code: 'ABORTED' });
});

test('a lock whose holder is killed is free', async t => {
  const { path, open, driver } = setUp(t);
  const other = new Child(t, 'lock/_locker.js', path);
  await other.ask('exclusive');
  await other.kill();
  t.notThrows(() =>
    lock(driver, { fd: open(), path, type: 'exclusive', range: WHOLE_FILE }, { timeoutMs: 1000 }),
  );
});

test('a lock that the descriptor cannot have is an error, not a refusal', t => {
  const { path, driver } = setUp(t);
  const fd = openSync(path, 'r');
  t.teardown(() => closeSync(fd));
  // fcntl(2): EBADF for a write lock on a descriptor that is not open for writing.
  t.throws(() => driver.tryLock(fd, 'exclusive', WHOLE_FILE), { code: 'SYSTEM', message: /EBADF/ });
});
