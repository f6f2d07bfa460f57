/**
 * fcntl(2) record locks by koffi: `struct flock` and the command numbers, declared once. koffi is
 * loaded when the first lock is asked for, never at import, so that the package can be imported
 * where koffi has no build or where the system has no fcntl.
 * @module
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type { LockRange, LockType } from './lock.js';

// biome-ignore format: table
export const COMMAND = {
  GETLK:      5,
  SETLK:      6,
  OFD_GETLK: 36,
  OFD_SETLK: 37,
} as const;

const WRITE_LOCK = 1;
const TYPE = { shared: 0, exclusive: WRITE_LOCK, none: 2 } as const;

/** `struct flock` of 64-bit Linux. What stands here is compared with koffi's own sums at load. */
// biome-ignore format: table
const FLOCK = [
  // field      type     offset
  ['l_type',   'int16',  0],
  ['l_whence', 'int16',  2],
  ['l_start',  'int64',  8],
  ['l_len',    'int64', 16],
  ['l_pid',    'int32', 24],
] as const;
const FLOCK_BYTES = 32;

/** A lock as `struct flock` says it. */
export interface Flock {
  readonly type: LockType | 'none';
  readonly range: LockRange;
  /** The owner's process id as the kernel tells it; -1 for a lock of an open file description. */
  readonly pid: number;
}

export interface Fcntl {
  /** Runs the command on an encoded `struct flock`: 0, or the errno. EINTR is retried. */
  call(fd: number, command: number, flock: Uint8Array): number;
  encode(type: LockType | 'none', range: LockRange): Uint8Array;
  decode(flock: Uint8Array): Flock;
}

let loaded: Fcntl | undefined;

/**
 * The system's fcntl.
 * @throws Error where this platform has none that we know, or koffi cannot be loaded.
 */
export function loadFcntl(): Fcntl {
  loaded ??= load();
  return loaded;
}

function load(): Fcntl {
  if (process.platform !== 'linux') {
    throw new Error(`the layout of struct flock on ${process.platform} is not known here`);
  }
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const shape = koffi.struct(Object.fromEntries(FLOCK.map(([name, type]) => [name, type])));
  assert.equal(koffi.sizeof(shape), FLOCK_BYTES, 'struct flock has another size here');
  for (const [name, , offset] of FLOCK) {
    assert.equal(koffi.offsetof(shape, name), offset, `${name} lies elsewhere in struct flock`);
  }
  // Declared with three arguments, not as variadic: on Linux both are called alike, and koffi
  // prepares the call once.
  const fcntl = koffi.load(null).func('int fcntl(int fd, int cmd, void *flock)');
  const { EINTR } = constants.errno;
  return {
    call(fd, command, flock) {
      for (;;) {
        if (fcntl(fd, command, flock) === 0) return 0;
        const errno = koffi.errno();
        if (errno !== EINTR) return errno;
      }
    },
    encode(type, { start, length }) {
      const bytes = new Uint8Array(FLOCK_BYTES);
      const fields = { l_type: TYPE[type], l_whence: 0, l_start: start, l_len: length, l_pid: 0 };
      koffi.encode(bytes, shape, fields);
      return bytes;
    },
    decode(bytes) {
      const fields = koffi.decode(bytes, shape) as Record<string, number>;
      return {
        type:
          fields['l_type'] === TYPE.none
            ? 'none'
            : fields['l_type'] === WRITE_LOCK
              ? 'exclusive'
              : 'shared',
        range: { start: Number(fields['l_start']), length: Number(fields['l_len']) },
        pid: fields['l_pid']!,
      };
    },
  };
}

/** The system's name of an errno: 11 → 'EAGAIN'. */
export function errnoName(errno: number): string {
  const names = Object.entries(constants.errno);
  return names.find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}
