/** fcntl(2): the structures of each system, and which systems are refused. */
import { constants } from 'node:os';
import test from 'ava';
import { hex, toHex } from '../../lab/files.js';
import {
  ABIS,
  abiOf,
  errnoName,
  FlockBuffer,
  flockLayout,
  retrying,
} from '../../src/native/fcntl.js';
import { assertLayout } from '../../src/native/koffi.js';

// Written by hand from each system's <fcntl.h>: an exclusive lock on 2 bytes at 0x0102030405.
// biome-ignore format: table
const FLOCKS = {
  linux:   '0100' + '0000' + '00000000' + '0504030201000000' + '0200000000000000' + '00000000' + '00000000',
  darwin:  '0504030201000000' + '0200000000000000' + '00000000' + '0300' + '0000',
  freebsd: '0504030201000000' + '0200000000000000' + '00000000' + '0300' + '0000' + '00000000' + '00000000',
} as const;
for (const [system, expected] of Object.entries(FLOCKS)) {
  test(`struct flock of ${system}`, t => {
    const abi = abiOf(system, 'arm64');
    t.notThrows(() => assertLayout(flockLayout(abi)));
    const flock = new FlockBuffer(abi);
    t.is(toHex(flock.write('F_WRLCK', 0x0102030405, 2).bytes), expected);
    t.deepEqual(flock.read(), { type: 'F_WRLCK', start: 0x0102030405, length: 2, pid: 0 });
    t.is(flock.write('F_UNLCK', 0, 0).read().type, 'F_UNLCK');
  });
}

test('the owner of an OFD lock has pid -1', t => {
  const flock = new FlockBuffer(abiOf('linux', 'x64'));
  // As Linux answers F_OFD_GETLK: F_RDLCK, SEEK_SET, bytes 100 and 101, pid -1.
  flock.bytes.set(hex('0000 0000 00000000 6400000000000000 0200000000000000 ffffffff 00000000'));
  t.deepEqual(flock.read(), { type: 'F_RDLCK', start: 100, length: 2, pid: -1 });
});

test('a layout that differs from the compiler’s is refused at load', t => {
  const layout = flockLayout(abiOf('linux', 'x64'));
  t.throws(() => assertLayout({ ...layout, bytes: 24 }), { message: /another size/ });
  const [first, second, ...rest] = layout.fields;
  t.throws(() => assertLayout({ ...layout, fields: [second!, first!, ...rest] }), {
    message: /l_whence has another offset/,
  });
});

test('a system whose layout is not known is refused by name', t => {
  for (const [platform, arch, message] of [
    ['linux', 'arm', /not known for linux on arm \(32-bit\)/],
    ['linux', 'ia32', /not known for linux on ia32 \(32-bit\)/],
    ['freebsd', 'ppc', /not known for freebsd on ppc \(32-bit\)/],
    ['linux', 'sparc64', /not known for linux on sparc64; supported: linux 64-bit/],
    ['win32', 'x64', /not known for win32 on x64/],
  ] as const) {
    t.throws(() => abiOf(platform, arch), { code: 'UNSUPPORTED', message });
  }
  t.is(abiOf('linux', 'riscv64'), ABIS['linux 64-bit']!);
});

test('a call that a signal interrupts is made again', t => {
  const { EINTR, EAGAIN } = constants.errno;
  const answers = [EINTR, EINTR, EAGAIN];
  const call = retrying(() => answers.shift()!);
  t.is(call(3, 37, new FlockBuffer(abiOf('linux', 'x64'))), EAGAIN);
  t.deepEqual(answers, []);
});

test('names of errnos', t => {
  t.is(errnoName(constants.errno.EAGAIN), 'EAGAIN');
  t.is(errnoName(9999), 'errno 9999');
});
