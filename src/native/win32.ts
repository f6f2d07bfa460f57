/**
 * LockFileEx and UnlockFileEx of 64-bit Windows, on the HANDLE of a descriptor. `OVERLAPPED` is
 * declared once and compared with koffi's layout when it is loaded.
 * @module
 */
import { NativeError } from './error.js';
import { assertLayout, loadKoffi, type StructLayout } from './koffi.js';

/** minwinbase.h */
// biome-ignore format: table
const OVERLAPPED: StructLayout = {
  name: 'OVERLAPPED',
  fields: [
    ['Internal',     'uintptr_t',  0],
    ['InternalHigh', 'uintptr_t',  8],
    ['Offset',       'uint32',    16],
    ['OffsetHigh',   'uint32',    20],
    ['hEvent',       'uintptr_t', 24],
  ],
  bytes: 32,
};
/** Offset and OffsetHigh are one 64-bit number. */
const OFFSET_AT = OVERLAPPED.fields.find(([name]) => name === 'Offset')![2];

export const LOCKFILE_FAIL_IMMEDIATELY = 1;
export const LOCKFILE_EXCLUSIVE_LOCK = 2;
/** winerror.h */
export const ERROR_INVALID_FUNCTION = 1;
export const ERROR_LOCK_VIOLATION = 33;
export const ERROR_NOT_SUPPORTED = 50;

/** Both calls return 0, or what GetLastError says. */
export interface Win32 {
  lockFileEx(fd: number, flags: number, start: bigint, length: bigint): number;
  unlockFileEx(fd: number, start: bigint, length: bigint): number;
}

let loaded: Win32 | undefined;

/** @throws NativeError on another system than 64-bit Windows, or where koffi cannot be loaded */
export function loadWin32(): Win32 {
  loaded ??= load();
  return loaded;
}

function load(): Win32 {
  const { platform, arch } = process;
  if (platform !== 'win32') throw new NativeError(`${platform} has no LockFileEx`);
  if (arch === 'ia32') throw new NativeError('OVERLAPPED is not known for 32-bit Windows (ia32)');
  const koffi = loadKoffi();
  assertLayout(OVERLAPPED);
  // Node's own libuv knows the HANDLE behind a descriptor, so no second handle is opened.
  const handleOf = koffi.load(process.execPath).func('intptr_t uv_get_osfhandle(int fd)');
  const kernel32 = koffi.load('kernel32.dll');
  const lastError = kernel32.func('uint32 __stdcall GetLastError()') as () => number;
  const lockFile = kernel32.func(
    'int __stdcall LockFileEx(intptr_t file, uint32 flags, uint32 reserved, uint32 low, uint32 high, void *overlapped)',
  );
  const unlockFile = kernel32.func(
    'int __stdcall UnlockFileEx(intptr_t file, uint32 reserved, uint32 low, uint32 high, void *overlapped)',
  );
  // GetLastError is read in the statement of the call, like errno.
  return {
    lockFileEx: (fd, flags, start, length) =>
      lockFile(handleOf(fd), flags, 0, ...halves(length), overlapped(start)) === 0
        ? lastError()
        : 0,
    unlockFileEx: (fd, start, length) =>
      unlockFile(handleOf(fd), 0, ...halves(length), overlapped(start)) === 0 ? lastError() : 0,
  };
}

/** Low and high 32 bits. */
export const halves = (value: bigint): [low: number, high: number] => [
  Number(value & 0xffff_ffffn),
  Number(value >> 32n),
];

/** Only the offset is set: no event, since the calls do not wait. */
function overlapped(start: bigint): Uint8Array {
  const bytes = new Uint8Array(OVERLAPPED.bytes);
  new DataView(bytes.buffer).setBigUint64(OFFSET_AT, start, true);
  return bytes;
}
