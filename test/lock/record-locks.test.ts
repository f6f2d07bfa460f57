/** fcntl(2) locks against a scripted kernel: what errnos mean, and which holders are found. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { scratch } from '../../lab/files.js';
import { holdersOf } from '../../src/lock/holders.js';
import { type LockRange, WHOLE_FILE } from '../../src/lock/lock.js';
import { overlap } from '../../src/lock/range.js';
import { RecordLocks } from '../../src/lock/record-locks.js';
import { abiOf, type Fcntl, FlockBuffer } from '../../src/native/fcntl.js';

const test = (process.platform === 'linux' ? anyTest : anyTest.skip) as TestFn;

const { EINVAL, EAGAIN, EACCES, EBADF, ENOLCK } = constants.errno;
const LINUX = abiOf('linux', 'x64');
const GET = LINUX.commands.F_OFD_GETLK!;
const SET = LINUX.commands.F_OFD_SETLK!;

const recordLocks = (call: Fcntl['call']): RecordLocks =>
  new RecordLocks(
    { commands: LINUX.commands, flock: () => new FlockBuffer(LINUX), call },
    { get: GET, set: SET },
  );

test('what an errno means for a lock', t => {
  const set = (errno: number): boolean =>
    recordLocks(() => errno).set(3, 'shared', { start: 0, length: 0 });
  t.true(set(0));
  t.false(set(EAGAIN));
  t.false(set(EACCES), 'POSIX allows either');
  t.throws(() => set(ENOLCK), { code: 'ENOTSUP', message: /offers no locks \(ENOLCK\)/ });
  t.throws(() => set(EBADF), { code: 'SYSTEM', message: /cannot acquire the shared lock: EBADF/ });
  t.throws(() => recordLocks(() => EBADF).release(3, WHOLE_FILE), {
    code: 'SYSTEM',
    message: /cannot release the lock: EBADF/,
  });
});

test('what an errno means for the support of a flavour', t => {
  const commands: number[] = [];
  const supports = (errno: number): boolean =>
    recordLocks((_, command) => {
      commands.push(command);
      return errno;
    }).supports(3);
  t.true(supports(0));
  t.false(supports(EINVAL), 'a kernel that does not know the command');
  t.throws(() => supports(ENOLCK), { code: 'ENOTSUP' });
  t.throws(() => supports(EBADF), { code: 'SYSTEM', message: /cannot query locks: EBADF/ });
  t.deepEqual(new Set(commands), new Set([GET]), 'a query, which takes no lock');
});

/** A kernel where others hold these ranges exclusively, whose processes show nothing. */
function kernelWith(held: readonly LockRange[]) {
  const kernel = { queries: 0, locks: recordLocks(answer) };
  function answer(_fd: number, _command: number, flock: FlockBuffer): number {
    kernel.queries += 1;
    const found = held.find(each => overlap(each, flock.read()));
    if (found === undefined) flock.write('F_UNLCK', 0, 0);
    else flock.write('F_WRLCK', found.start, found.length);
    return 0;
  }
  return kernel;
}

test('holders whose processes show nothing are found by queries around one another', t => {
  const path = join(scratch(t), 'file');
  writeFileSync(path, 'x');
  const fd = openSync(path, 'r');
  t.teardown(() => closeSync(fd));
  const held = [
    { start: 201, length: 1 },
    { start: 100, length: 2 },
    { start: 300, length: 0 },
  ];
  const found = (range: LockRange) =>
    holdersOf(kernelWith(held).locks, fd, range).sort((a, b) => a.range.start - b.range.start);
  const exclusive = (...ranges: LockRange[]) => ranges.map(range => ({ type: 'exclusive', range }));
  t.deepEqual(found(WHOLE_FILE), exclusive(held[1]!, held[0]!, held[2]!) as never);
  t.deepEqual(found({ start: 101, length: 150 }), exclusive(held[1]!, held[0]!) as never);
  t.deepEqual(found({ start: 0, length: 100 }), []);

  const many = kernelWith(Array.from({ length: 10_000 }, (_, at) => ({ start: at, length: 1 })));
  t.true(holdersOf(many.locks, fd, WHOLE_FILE).length > 0);
  t.true(many.queries <= 64, `${many.queries} queries however many locks there are`);
});
