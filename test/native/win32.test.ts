/** The Windows calls: what can be checked on any system. The calls themselves: test/lock/win32.test.ts. */
import test from 'ava';
import { halves, loadWin32 } from '../../src/native/win32.js';

test('64-bit numbers go in as two 32-bit halves', t => {
  t.deepEqual(halves(0xffff_ffff_ffff_ffffn), [0xffff_ffff, 0xffff_ffff]);
  t.deepEqual(halves(2n ** 32n + 5n), [5, 1]);
});

(process.platform === 'win32' ? test.skip : test)('another system is refused by name', t => {
  t.throws(loadWin32, { code: 'UNSUPPORTED', message: /has no LockFileEx/ });
});
