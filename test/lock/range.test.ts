/** Arithmetic of byte ranges, and the registry that is built on it, against sets of bytes. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { scratch } from '../../lab/files.js';
import type { LockDriver, LockRange, LockType } from '../../src/lock/lock.js';
import { overlap, subtract } from '../../src/lock/range.js';
import {
  conflictOf,
  type HeldLock,
  locksBeside,
  locksOf,
  noteLock,
  noteUnlock,
} from '../../src/lock/registry.js';
import { lengthOf } from '../../src/lock/win32.js';

// Ranges within the first 16 bytes, byte 15 standing for all that follow.
const range: fc.Arbitrary<LockRange> = fc.oneof(
  fc.record({ start: fc.nat(7), length: fc.integer({ min: 1, max: 7 }) }),
  fc.record({ start: fc.nat(14), length: fc.constant(0) }),
);
const BYTES = Array.from({ length: 16 }, (_, at) => at);
const bytesOf = ({ start, length }: LockRange): boolean[] =>
  BYTES.map(at => at >= start && (length === 0 || at < start + length));

test('ranges are the sets of their bytes', t => {
  fc.assert(
    fc.property(range, fc.array(range, { maxLength: 4 }), (whole, others) => {
      const left = subtract(whole, others).map(bytesOf);
      const expected = bytesOf(whole).map(
        (inside, at) => inside && !others.some(other => bytesOf(other)[at]),
      );
      t.deepEqual(
        expected.map((_, at) => left.filter(piece => piece[at]).length),
        expected.map(Number),
      );
    }),
  );
  fc.assert(
    fc.property(range, range, (a, b) => {
      t.is(
        overlap(a, b),
        bytesOf(a).some((inside, at) => inside && bytesOf(b)[at]),
      );
    }),
  );
});

test('to the end of all offsets, for LockFileEx', t => {
  // 2^64 - 1 bytes from 0 on, as in the 2011 patch; from 300 on the sum must not pass 2^64.
  t.is(lengthOf({ start: 0, length: 0 }), 2n ** 64n - 1n);
  t.is(lengthOf({ start: 300, length: 0 }), 2n ** 64n - 301n);
  t.is(lengthOf({ start: 7, length: 2 ** 32 + 5 }), 2n ** 32n + 5n);
});

const driver: LockDriver = {
  flavour: 'posix',
  tryLock: () => true,
  unlock: () => {},
  holder: () => undefined,
  holders: () => [],
};

test('the registry knows each byte of each descriptor, and which descriptors share a file', t => {
  const folder = scratch(t);
  const [a, b] = ['a', 'b'].map(name => join(folder, name));
  for (const path of [a!, b!]) writeFileSync(path, 'x');
  const paths = [a!, a!, a!, b!, b!];
  const types = [undefined, 'shared', 'exclusive'] as const;
  const step = fc.record({
    which: fc.nat(paths.length - 1),
    range,
    type: fc.constantFrom(...types),
  });
  const maps = (locks: readonly HeldLock[]): (LockType | undefined)[] =>
    BYTES.map(at => locks.find(lock => bytesOf(lock.range)[at])?.type);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), steps => {
      const fds = paths.map(path => openSync(path, 'r'));
      const model = fds.map(() => BYTES.map((): LockType | undefined => undefined));
      for (const { which, range: at, type } of steps) {
        const fd = fds[which]!;
        if (type === undefined) noteUnlock(fd, at);
        else noteLock({ driver, fd, type, range: at });
        for (const [i, inside] of bytesOf(at).entries()) if (inside) model[which]![i] = type;
        for (const [i, each] of fds.entries()) {
          t.deepEqual(maps(locksOf(each)), model[i]);
          const beside = model.filter((_, j) => j !== i && paths[j] === paths[i]);
          const held = (n: number) => beside.map(bytes => bytes[n]).filter(Boolean);
          const seen = locksBeside(each);
          t.deepEqual(
            BYTES.map(n => seen.filter(lock => bytesOf(lock.range)[n]).length),
            BYTES.map(n => held(n).length),
          );
          for (const wanted of ['shared', 'exclusive'] as const) {
            const denied = bytesOf(at).some(
              (inside, n) =>
                inside && held(n).some(other => wanted === 'exclusive' || other === 'exclusive'),
            );
            t.is(conflictOf(each, wanted, at) !== undefined, denied);
          }
        }
      }
      for (const fd of fds) {
        noteUnlock(fd, { start: 0, length: 0 });
        closeSync(fd);
      }
    }),
  );
});
