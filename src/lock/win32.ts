/**
 * Windows locks: LockFileEx and UnlockFileEx on the HANDLE of a descriptor. They belong to the
 * handle, so descriptors and threads exclude each other, and they are mandatory: others can neither
 * read nor write what is locked exclusively. All I/O of a locked image goes through its descriptor.
 * @module
 */
import assert from 'node:assert/strict';
import { loadKoffi } from './koffi.js';
import {
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
} from './lock.js';
import { overlap, sameRange } from './range.js';
import { type HeldLock, locksOf, noteLock, noteUnlock } from './registry.js';

/** `OVERLAPPED` of 64-bit Windows (minwinbase.h). Compared with koffi's own sums at load. */
// biome-ignore format: table
const OVERLAPPED = [
  // field          type         offset
  ['Internal',     'uintptr_t',  0],
  ['InternalHigh', 'uintptr_t',  8],
  ['Offset',       'uint32',    16],
  ['OffsetHigh',   'uint32',    20],
  ['hEvent',       'uintptr_t', 24],
] as const;
const OVERLAPPED_BYTES = 32;

const FAIL_IMMEDIATELY = 1;
const FLAGS = { shared: FAIL_IMMEDIATELY, exclusive: FAIL_IMMEDIATELY | 2 } as const;

const ERROR_LOCK_VIOLATION = 33;
/** What file systems say that have no locks: ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED. */
const NOT_OFFERED: readonly number[] = [1, 50];

/** 0, or what GetLastError says. */
interface Win32 {
  lock(fd: number, flags: number, range: LockRange): number;
  unlock(fd: number, range: LockRange): number;
}

export class Win32Driver implements LockDriver {
  readonly flavour = 'win32';
  readonly #api = load();

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    const own = this.#own(fd, range);
    if (own?.type === type) return true;
    if (own?.type === 'shared') {
      throw new LockError(
        'ENOTSUP',
        `descriptor ${fd}`,
        'Windows cannot make a shared lock exclusive without letting go of it in between; take the exclusive lock first',
      );
    }
    const error = this.#api.lock(fd, FLAGS[type], range);
    if (error === ERROR_LOCK_VIOLATION) return false;
    if (error !== 0) throw refused(`take the ${type} lock`, fd, error);
    // A downgrade: of two locks of the same bytes the first unlock gives the exclusive one back.
    if (own !== undefined) this.#unlock(fd, range);
    noteLock({ driver: this, fd, type, range });
    return true;
  }

  unlock(fd: number, range: LockRange): void {
    this.#unlock(fd, range);
    noteUnlock(fd, range);
  }

  /** Windows does not say whose lock it is; trying tells of what type. */
  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    if (this.#own(fd, range) === undefined) {
      if (this.#could(fd, type, range)) return undefined;
      if (this.#could(fd, 'shared', range)) return { type: 'shared', range };
    }
    return { type: 'exclusive', range };
  }

  #could(fd: number, type: LockType, range: LockRange): boolean {
    if (!this.tryLock(fd, type, range)) return false;
    this.unlock(fd, range);
    return true;
  }

  #unlock(fd: number, range: LockRange): void {
    const error = this.#api.unlock(fd, range);
    if (error !== 0) throw refused('give the lock back', fd, error);
  }

  /** What this descriptor holds of these bytes: Windows only gives back exactly what was taken. */
  #own(fd: number, range: LockRange): HeldLock | undefined {
    const own = locksOf(fd).find(lock => overlap(lock.range, range));
    if (own === undefined || sameRange(own.range, range)) return own;
    throw new LockError(
      'EINVAL',
      `descriptor ${fd}`,
      'Windows locks whole ranges only: these bytes are part of another lock of this descriptor',
    );
  }
}

function load(): Win32 {
  if (process.platform !== 'win32') throw new Error(`${process.platform} has no LockFileEx`);
  const koffi = loadKoffi();
  const shape = koffi.struct(Object.fromEntries(OVERLAPPED.map(([name, type]) => [name, type])));
  assert.equal(koffi.sizeof(shape), OVERLAPPED_BYTES, 'OVERLAPPED has another size here');
  for (const [name, , offset] of OVERLAPPED) {
    assert.equal(koffi.offsetof(shape, name), offset, `${name} lies elsewhere in OVERLAPPED`);
  }
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
  const overlapped = (start: number): Uint8Array => {
    const bytes = new Uint8Array(OVERLAPPED_BYTES);
    const [Offset, OffsetHigh] = halves(BigInt(start));
    koffi.encode(bytes, shape, { Internal: 0, InternalHigh: 0, Offset, OffsetHigh, hEvent: 0 });
    return bytes;
  };
  return {
    lock: (fd, flags, range) => {
      const done = lockFile(handleOf(fd), flags, 0, ...lengthOf(range), overlapped(range.start));
      return done === 0 ? lastError() : 0;
    },
    unlock: (fd, range) => {
      const done = unlockFile(handleOf(fd), 0, ...lengthOf(range), overlapped(range.start));
      return done === 0 ? lastError() : 0;
    },
  };
}

/** Low and high 32 bits. */
const halves = (value: bigint): [number, number] => [
  Number(value & 0xffff_ffffn),
  Number(value >> 32n),
];

/** "To the end" is as far as 64 bits reach: from 0 on all ones, as in the 2011 patch. */
export const lengthOf = ({ start, length }: LockRange): [low: number, high: number] =>
  halves(length === 0 ? 0xffff_ffff_ffff_ffffn - BigInt(start) : BigInt(length));

function refused(what: string, fd: number, error: number): LockError {
  const path = `descriptor ${fd}`;
  const cause = Object.assign(new Error(`Windows error ${error}`), { errno: error });
  return NOT_OFFERED.includes(error)
    ? new LockError('ENOTSUP', path, `${path}: its file system offers no locks (error ${error})`, {
        cause,
      })
    : new LockError('SYSTEM', path, `${path}: Windows refused to ${what}: error ${error}`, {
        cause,
      });
}
