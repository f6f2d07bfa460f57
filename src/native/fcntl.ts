/**
 * fcntl(2) record locks: the command numbers and `struct flock` of each system, declared once and
 * compared with koffi's layout when they are loaded.
 * @module
 */
import assert from 'node:assert/strict';
import { constants, endianness } from 'node:os';
import { NativeError } from './error.js';
import { assertLayout, type Koffi, loadKoffi, type StructLayout } from './koffi.js';

const FLOCK_TYPES = ['F_RDLCK', 'F_WRLCK', 'F_UNLCK'] as const;
export type FlockType = (typeof FLOCK_TYPES)[number];
type CType = 'int16' | 'int32' | 'int64';
type Member = 'l_type' | 'l_whence' | 'l_start' | 'l_len' | 'l_pid' | 'l_sysid';

/** The part of one system's <fcntl.h> that is about record locks. */
export interface Abi {
  readonly commands: {
    readonly F_GETLK: number;
    readonly F_SETLK: number;
    /** Locks of the open file description, where the system has them. */
    readonly F_OFD_GETLK?: number;
    readonly F_OFD_SETLK?: number;
  };
  readonly types: Readonly<Record<FlockType, number>>;
  readonly flock: readonly (readonly [Member, CType, offset: number])[];
  readonly bytes: number;
}

const BSD_TYPES = { F_RDLCK: 1, F_UNLCK: 2, F_WRLCK: 3 } as const;

/**
 * By platform and word size. 32-bit systems are left out on purpose: their command numbers for a
 * `struct flock` with 64-bit offsets differ between architectures. Only Linux is run in our tests.
 */
// biome-ignore format: table
export const ABIS: Readonly<Record<string, Abi>> = {
  'linux 64-bit': {
    commands: { F_GETLK: 5, F_SETLK: 6, F_OFD_GETLK: 36, F_OFD_SETLK: 37 },
    types: { F_RDLCK: 0, F_WRLCK: 1, F_UNLCK: 2 },
    flock: [
      ['l_type',   'int16',  0],
      ['l_whence', 'int16',  2],
      ['l_start',  'int64',  8],
      ['l_len',    'int64', 16],
      ['l_pid',    'int32', 24],
    ],
    bytes: 32,
  },
  'darwin 64-bit': {
    commands: { F_GETLK: 7, F_SETLK: 8 },
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
  'freebsd 64-bit': {
    commands: { F_GETLK: 11, F_SETLK: 12 },
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

// biome-ignore format: table
const WORD_BITS: Readonly<Record<NodeJS.Architecture, 32 | 64>> = {
  arm: 32, ia32: 32, mips: 32, mipsel: 32, ppc: 32, s390: 32,
  arm64: 64, loong64: 64, ppc64: 64, riscv64: 64, s390x: 64, x64: 64,
};

/**
 * The ABI of a platform and an architecture, both as Node names them.
 * @throws NativeError if the table has no row for this system
 */
export function abiOf(platform: string, arch: string): Abi {
  const bits = (WORD_BITS as Readonly<Partial<Record<string, 32 | 64>>>)[arch];
  const abi = ABIS[`${platform} ${bits}-bit`];
  if (abi !== undefined) return abi;
  const system = `${platform} on ${arch}${bits === 32 ? ' (32-bit)' : ''}`;
  throw new NativeError(
    `the layout of struct flock is not known for ${system}; supported: ${Object.keys(ABIS).join(', ')}`,
  );
}

/** A lock as `struct flock` describes it. */
export interface Flock {
  readonly type: FlockType;
  /** First byte, from the start of the file. */
  readonly start: number;
  /** Bytes; 0 reaches to the end of all offsets. */
  readonly length: number;
  /** The owner's process id; -1 for a lock of an open file description, 0 for another pid namespace. */
  readonly pid: number;
}

type Access = readonly [
  get: (from: DataView, offset: number) => number,
  set: (into: DataView, offset: number, value: number) => void,
];
const LITTLE = endianness() === 'LE';

// biome-ignore format: table
const ACCESS: Readonly<Record<CType, Access>> = {
  int16: [(from, at) => from.getInt16(at, LITTLE),            (into, at, n) => into.setInt16(at, n, LITTLE)],
  int32: [(from, at) => from.getInt32(at, LITTLE),            (into, at, n) => into.setInt32(at, n, LITTLE)],
  int64: [(from, at) => Number(from.getBigInt64(at, LITTLE)), (into, at, n) => into.setBigInt64(at, BigInt(n), LITTLE)],
};

/** One `struct flock` in memory, written before a call and read after it. */
export class FlockBuffer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #types: Abi['types'];
  readonly #members: ReadonlyMap<Member, readonly [type: CType, offset: number]>;

  constructor({ bytes, types, flock }: Abi) {
    this.bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.bytes.buffer);
    this.#types = types;
    this.#members = new Map(flock.map(([member, type, offset]) => [member, [type, offset]]));
  }

  /** l_whence is SEEK_SET, and l_pid is 0, as the commands for OFD locks demand (fcntl(2)). */
  write(type: FlockType, start: number, length: number): this {
    this.bytes.fill(0);
    this.#set('l_type', this.#types[type]);
    this.#set('l_start', start);
    this.#set('l_len', length);
    return this;
  }

  read(): Flock {
    const value = this.#get('l_type');
    const type = FLOCK_TYPES.find(each => this.#types[each] === value);
    assert(type !== undefined, `the system answered with lock type ${value}`);
    const [start, length] = [this.#get('l_start'), this.#get('l_len')];
    return { type, start, length, pid: this.#get('l_pid') };
  }

  #set(member: Member, value: number): void {
    const [type, offset] = this.#members.get(member)!;
    ACCESS[type][1](this.#view, offset, value);
  }

  #get(member: Member): number {
    const [type, offset] = this.#members.get(member)!;
    return ACCESS[type][0](this.#view, offset);
  }
}

export const flockLayout = ({ flock, bytes }: Abi): StructLayout => ({
  name: 'struct flock',
  fields: flock,
  bytes,
});

export interface Fcntl {
  readonly commands: Abi['commands'];
  flock(): FlockBuffer;
  /** Runs a command: 0, or the errno. EINTR is retried. */
  call(fd: number, command: number, flock: FlockBuffer): number;
}

let loaded: Fcntl | undefined;

/**
 * The system's fcntl(2).
 * @throws NativeError where this platform has none that is known here, or koffi cannot be loaded
 */
export function loadFcntl(): Fcntl {
  loaded ??= load();
  return loaded;
}

function load(): Fcntl {
  const abi = abiOf(process.platform, process.arch);
  const koffi = loadKoffi();
  assertLayout(flockLayout(abi));
  const fcntl = rawFcntl(koffi.load(null));
  // errno is read in the statement of the call: whatever V8 does later may change it. An errno that
  // was lost anyway (0) is retried, which does no harm: none of these commands waits.
  const call = retrying((fd, command, flock) =>
    fcntl(fd, command, flock) === 0 ? 0 : koffi.errno() || constants.errno.EINTR,
  );
  return { commands: abi.commands, flock: () => new FlockBuffer(abi), call };
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

/** Retries on EINTR. @param attempt 0, or the errno */
export function retrying(attempt: RawFcntl): Fcntl['call'] {
  return (fd, command, { bytes }) => {
    for (;;) {
      const errno = attempt(fd, command, bytes);
      if (errno !== constants.errno.EINTR) return errno;
    }
  };
}

/** The system's name of an errno: 11 → 'EAGAIN'. */
export function errnoName(errno: number): string {
  const names = Object.entries(constants.errno);
  return names.find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}
