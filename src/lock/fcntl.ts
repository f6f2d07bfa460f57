/**
 * fcntl(2) record locks by koffi: `struct flock` and the command numbers of each system, declared
 * once. koffi is loaded when the first lock is asked for, never at import, so that the package can
 * be imported where koffi has no build or where the system has no fcntl.
 * @module
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { type Koffi, loadKoffi } from './koffi.js';
import type { LockRange, LockType } from './lock.js';

/** What <fcntl.h> of one system says. */
export interface Abi {
  readonly commands: {
    readonly GETLK: number;
    readonly SETLK: number;
    /** Locks of the open file description, where the system has them. */
    readonly OFD_GETLK?: number;
    readonly OFD_SETLK?: number;
  };
  readonly types: Readonly<Record<LockType | 'none', number>>;
  /** `struct flock`: what stands here is compared with koffi's own sums at load. */
  readonly flock: readonly (readonly [field: string, type: string, offset: number])[];
  readonly bytes: number;
}

const BSD_TYPES = { shared: 1, none: 2, exclusive: 3 } as const;

/** The 64-bit systems that we know. Only Linux is run in our tests; the others from their headers. */
// biome-ignore format: table
export const ABIS: Readonly<Partial<Record<NodeJS.Platform, Abi>>> = {
  linux: {
    commands: { GETLK: 5, SETLK: 6, OFD_GETLK: 36, OFD_SETLK: 37 },
    types: { shared: 0, exclusive: 1, none: 2 },
    flock: [
      ['l_type',   'int16',  0],
      ['l_whence', 'int16',  2],
      ['l_start',  'int64',  8],
      ['l_len',    'int64', 16],
      ['l_pid',    'int32', 24],
    ],
    bytes: 32,
  },
  darwin: {
    commands: { GETLK: 7, SETLK: 8 },
    types: BSD_TYPES,
    flock: [
      ['l_start',  'int64',  0],
      ['l_len',    'int64',  8],
      ['l_pid',    'int32', 16],
      ['l_type',   'int16', 20],
      ['l_whence', 'int16', 22],
    ],
    bytes: 24,
  },
  freebsd: {
    commands: { GETLK: 11, SETLK: 12 },
    types: BSD_TYPES,
    flock: [
      ['l_start',  'int64',  0],
      ['l_len',    'int64',  8],
      ['l_pid',    'int32', 16],
      ['l_type',   'int16', 20],
      ['l_whence', 'int16', 22],
      ['l_sysid',  'int32', 24],
    ],
    bytes: 32,
  },
};

/** A lock as `struct flock` says it. */
export interface Flock {
  readonly type: LockType | 'none';
  readonly range: LockRange;
  /** The owner's process id as the kernel tells it; -1 for a lock of an open file description. */
  readonly pid: number;
}

/** `struct flock` in bytes. */
export interface FlockCodec {
  encode(type: LockType | 'none', range: LockRange): Uint8Array;
  decode(flock: Uint8Array): Flock;
}

export interface Fcntl extends FlockCodec {
  readonly commands: Abi['commands'];
  /** Runs the command on an encoded `struct flock`: 0, or the errno. EINTR is retried. */
  call(fd: number, command: number, flock: Uint8Array): number;
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
  const abi = ABIS[process.platform];
  if (abi === undefined) {
    throw new Error(`the layout of struct flock on ${process.platform} is not known here`);
  }
  const koffi = loadKoffi();
  const libc = koffi.load(null);
  const call = retrying(rawFcntl(libc), () => koffi.errno());
  return { ...flockCodec(abi), commands: abi.commands, call };
}

type RawFcntl = (fd: number, command: number, flock: Uint8Array) => number;

function rawFcntl(libc: ReturnType<Koffi['load']>): RawFcntl {
  if (process.platform === 'darwin') {
    // Apple's arm64 passes the arguments of a variadic function on the stack.
    const variadic = libc.func('int fcntl(int fd, int cmd, ...)');
    return (fd, command, flock) => variadic(fd, command, 'void *', flock);
  }
  // Elsewhere both are called alike, and koffi prepares a call of three arguments once.
  return libc.func('int fcntl(int fd, int cmd, void *flock)');
}

/** A signal that interrupts the call is no answer: asks again, as the 2011 patch did. */
export function retrying(raw: RawFcntl, errnoNow: () => number): Fcntl['call'] {
  const { EINTR } = constants.errno;
  return (fd, command, flock) => {
    for (;;) {
      if (raw(fd, command, flock) === 0) return 0;
      const errno = errnoNow();
      if (errno !== EINTR) return errno;
    }
  };
}

/** The `struct flock` of one system. */
export function flockCodec({ types, flock, bytes }: Abi): FlockCodec {
  const koffi = loadKoffi();
  const shape = koffi.struct(Object.fromEntries(flock.map(([name, type]) => [name, type])));
  assert.equal(koffi.sizeof(shape), bytes, 'struct flock has another size here');
  for (const [name, , offset] of flock) {
    assert.equal(koffi.offsetof(shape, name), offset, `${name} lies elsewhere in struct flock`);
  }
  const blank = Object.fromEntries(flock.map(([name]) => [name, 0]));
  return {
    encode(type, { start, length }) {
      const encoded = new Uint8Array(bytes);
      koffi.encode(encoded, shape, {
        ...blank,
        l_type: types[type],
        l_start: start,
        l_len: length,
      });
      return encoded;
    },
    decode(encoded) {
      const fields = koffi.decode(encoded, shape) as Record<string, number>;
      const names = Object.keys(types) as (LockType | 'none')[];
      const type = names.find(name => types[name] === fields['l_type']);
      assert(type !== undefined, `the system answered with lock type ${fields['l_type']}`);
      const range = { start: Number(fields['l_start']), length: Number(fields['l_len']) };
      return { type, range, pid: fields['l_pid']! };
    },
  };
}

/** The system's name of an errno: 11 → 'EAGAIN'. */
export function errnoName(errno: number): string {
  const names = Object.entries(constants.errno);
  return names.find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}
