/** The call of fcntl(2): structures of each system, errnos, and the arithmetic of ranges. */
import { constants } from 'node:os';
import test from 'ava';
import fc from 'fast-check';
import { ABIS, type Fcntl, flockCodec, retrying } from '../../src/lock/fcntl.js';
import type { LockRange } from '../../src/lock/lock.js';
import { overlap, subtract } from '../../src/lock/range.js';
import { RecordLocks } from '../../src/lock/record-locks.js';
import { lengthOf } from '../../src/lock/win32.js';
import { toHex } from '../_files.js';

// Drawn by hand from each system's <fcntl.h>: an exclusive lock on 2 bytes at 0x0102030405.
// biome-ignore format: table
const FLOCKS = {
  linux:   '0100' + '0000' + '00000000' + '0504030201000000' + '0200000000000000' + '00000000' + '00000000',
  darwin:  '0504030201000000' + '0200000000000000' + '00000000' + '0300' + '0000',
  freebsd: '0504030201000000' + '0200000000000000' + '00000000' + '0300' + '0000' + '00000000' + '00000000',
} as const;
for (const [system, drawn] of Object.entries(FLOCKS)) {
  test(`struct flock of ${system}`, t => {
    const codec = flockCodec(ABIS[system as keyof typeof FLOCKS]!);
    const range = { start: 0x0102030405, length: 2 };
    const bytes = codec.encode('exclusive', range);
    t.is(toHex(bytes), drawn);
    t.deepEqual(codec.decode(bytes), { type: 'exclusive', range, pid: 0 });
    t.deepEqual(codec.decode(codec.encode('none', range)).type, 'none');
  });
}

test('a structure that lies otherwise than declared is refused at load', t => {
  const abi = ABIS.linux!;
  t.throws(() => flockCodec({ ...abi, bytes: 24 }), { message: /another size/ });
  const [first, second, ...rest] = abi.flock;
  t.throws(() => flockCodec({ ...abi, flock: [second!, first!, ...rest] }), {
    message: /lies elsewhere/,
  });
});

const { EINTR, EAGAIN, EACCES, EBADF, ENOLCK } = constants.errno;

/** fcntl as it answers with these errnos, one a call. */
function answering(...errnos: number[]): Fcntl & { calls: number } {
  let errno = 0;
  const fake = {
    ...flockCodec(ABIS.linux!),
    commands: ABIS.linux!.commands,
    calls: 0,
    call: retrying(
      () => {
        fake.calls += 1;
        errno = errnos.shift() ?? 0;
        return errno === 0 ? 0 : -1;
      },
      () => errno,
    ),
  };
  return fake;
}

test('a call that a signal interrupts is made again', t => {
  const fcntl = answering(EINTR, EINTR, 0);
  t.is(fcntl.call(3, 37, new Uint8Array(32)), 0);
  t.is(fcntl.calls, 3);
});

test('what an errno means', t => {
  const set = (errno: number): boolean =>
    new RecordLocks(answering(errno), { get: 36, set: 37 }).set(3, 'shared', {
      start: 0,
      length: 0,
    });
  t.true(set(0));
  t.false(set(EAGAIN));
  t.false(set(EACCES), 'POSIX lets a system say either');
  t.throws(() => set(ENOLCK), { code: 'ENOTSUP', message: /offers no locks \(ENOLCK\)/ });
  t.throws(() => set(EBADF), { code: 'SYSTEM', message: /EBADF/ });
});

// Ranges within the first 16 bytes, byte 15 standing for all that follow.
const range: fc.Arbitrary<LockRange> = fc.oneof(
  fc.record({ start: fc.nat(7), length: fc.integer({ min: 1, max: 7 }) }),
  fc.record({ start: fc.nat(14), length: fc.constant(0) }),
);
const bytesOf = ({ start, length }: LockRange): boolean[] =>
  Array.from({ length: 16 }, (_, at) => at >= start && (length === 0 || at < start + length));

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

test('to the end of all offsets, in the words of Windows', t => {
  // 2^64 - 1 bytes from 0 on, as in the 2011 patch; from 300 on the sum must not pass 2^64.
  t.deepEqual(lengthOf({ start: 0, length: 0 }), [0xffff_ffff, 0xffff_ffff]);
  t.deepEqual(lengthOf({ start: 300, length: 0 }), [0xffff_ffff - 300, 0xffff_ffff]);
  t.deepEqual(lengthOf({ start: 7, length: 2 ** 32 + 5 }), [5, 1]);
});
