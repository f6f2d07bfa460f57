/**
 * What the two flavours of fcntl(2) locks have in common: the calls, and what their errnos mean.
 * @module
 */
import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoName, type Fcntl, type FlockBuffer, type FlockType } from '../native/fcntl.js';
import { LockError, type LockRange, type LockType, WHOLE_FILE } from './lock.js';

const { EAGAIN, EACCES, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP } = constants.errno;
const DENIED: readonly number[] = [EAGAIN, EACCES];
const NOT_OFFERED: readonly number[] = [ENOLCK, ENOSYS, EOPNOTSUPP];

const FLOCK_TYPE = { shared: 'F_RDLCK', exclusive: 'F_WRLCK' } as const satisfies Record<
  LockType,
  FlockType
>;

/** A lock as F_GETLK reports it. `pid` is positive only where the kernel knows the process. */
export interface ReportedLock {
  readonly type: LockType;
  readonly range: LockRange;
  readonly pid: number;
}

export class RecordLocks {
  readonly #fcntl: Fcntl;
  readonly #get: number;
  readonly #set: number;
  readonly #flock: FlockBuffer;

  constructor(fcntl: Fcntl, commands: { readonly get: number; readonly set: number }) {
    this.#fcntl = fcntl;
    this.#get = commands.get;
    this.#set = commands.set;
    this.#flock = fcntl.flock();
  }

  /**
   * Whether the kernel knows these commands: asks for a lock on the file, which takes none.
   * @throws LockError ENOTSUP where its file system has no locks, SYSTEM
   */
  supports(fd: number): boolean {
    const { start, length } = WHOLE_FILE;
    const errno = this.#fcntl.call(fd, this.#get, this.#flock.write('F_RDLCK', start, length));
    if (errno === EINVAL) return false;
    if (errno !== 0) throw systemError('query locks', fd, errno);
    return true;
  }

  /** Acquires or changes a lock. False where another owner's lock forbids it. */
  set(fd: number, type: LockType, { start, length }: LockRange): boolean {
    const flock = this.#flock.write(FLOCK_TYPE[type], start, length);
    const errno = this.#fcntl.call(fd, this.#set, flock);
    if (errno === 0) return true;
    if (DENIED.includes(errno)) return false;
    throw systemError(`acquire the ${type} lock`, fd, errno);
  }

  release(fd: number, { start, length }: LockRange): void {
    const errno = this.#fcntl.call(fd, this.#set, this.#flock.write('F_UNLCK', start, length));
    if (errno !== 0) throw systemError('release the lock', fd, errno);
  }

  /** The first lock that forbids this one, or undefined. */
  get(fd: number, type: LockType, range: LockRange): ReportedLock | undefined {
    const flock = this.#flock.write(FLOCK_TYPE[type], range.start, range.length);
    const errno = this.#fcntl.call(fd, this.#get, flock);
    if (errno !== 0) throw systemError('query locks', fd, errno);
    const { type: reported, start, length, pid } = flock.read();
    if (reported === 'F_UNLCK') return undefined;
    const held = reported === 'F_WRLCK' ? 'exclusive' : 'shared';
    return { type: held, range: { start, length }, pid };
  }
}

function systemError(what: string, fd: number, errno: number): LockError {
  const name = errnoName(errno);
  const path = pathOf(fd);
  const cause = Object.assign(new Error(name), { code: name, errno });
  return NOT_OFFERED.includes(errno)
    ? new LockError(
        'ENOTSUP',
        path,
        `the file system of ${path} offers no locks (${name}); on NFS start its lock service, or move the image to another file system`,
        { cause },
      )
    : new LockError('SYSTEM', path, `${path}: cannot ${what}: ${name}`, { cause });
}

/** The path of an open file where the system shows it, for messages. */
export function pathOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}
