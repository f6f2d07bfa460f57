/**
 * What the two flavours of fcntl(2) locks have in common: the calls, and what their errnos mean.
 * @module
 */
import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoName, type Fcntl, type Flock } from './fcntl.js';
import { LockError, type LockRange, type LockType } from './lock.js';

const { EAGAIN, EACCES, ENOLCK, ENOSYS, EOPNOTSUPP } = constants.errno;
const DENIED: readonly number[] = [EAGAIN, EACCES];
const NOT_OFFERED: readonly number[] = [ENOLCK, ENOSYS, EOPNOTSUPP];
/** A program uses a handful of types and ranges, each many times. */
const ENCODED_MAX = 64;

export class RecordLocks {
  readonly #fcntl: Fcntl;
  readonly #get: number;
  readonly #set: number;
  readonly #encoded = new Map<string, Uint8Array>();

  constructor(fcntl: Fcntl, commands: { readonly get: number; readonly set: number }) {
    this.#fcntl = fcntl;
    this.#get = commands.get;
    this.#set = commands.set;
  }

  /** Takes, changes or (with 'none') gives back a lock. False where another holder forbids it. */
  set(fd: number, type: LockType | 'none', range: LockRange): boolean {
    const errno = this.#fcntl.call(fd, this.#set, this.#flock(type, range));
    if (errno === 0) return true;
    if (DENIED.includes(errno)) return false;
    throw refused(type === 'none' ? 'give the lock back' : `take the ${type} lock`, fd, errno);
  }

  /** The first lock that forbids this one, or undefined. */
  get(fd: number, type: LockType, range: LockRange): (Flock & { type: LockType }) | undefined {
    // A copy: the kernel answers in the same structure.
    const flock = this.#flock(type, range).slice();
    const errno = this.#fcntl.call(fd, this.#get, flock);
    if (errno !== 0) throw refused('ask who holds the lock', fd, errno);
    const found = this.#fcntl.decode(flock);
    return found.type === 'none' ? undefined : { ...found, type: found.type };
  }

  #flock(type: LockType | 'none', range: LockRange): Uint8Array {
    const key = `${type} ${range.start} ${range.length}`;
    let flock = this.#encoded.get(key);
    if (flock === undefined) {
      flock = this.#fcntl.encode(type, range);
      if (this.#encoded.size < ENCODED_MAX) this.#encoded.set(key, flock);
    }
    return flock;
  }
}

function refused(what: string, fd: number, errno: number): LockError {
  const name = errnoName(errno);
  const path = pathOf(fd);
  const cause = Object.assign(new Error(name), { code: name, errno });
  return NOT_OFFERED.includes(errno)
    ? new LockError(
        'ENOTSUP',
        path,
        `the file system of ${path} offers no locks (${name}); on NFS start its lock service, or put the image elsewhere`,
        { cause },
      )
    : new LockError('SYSTEM', path, `${path}: the system refused to ${what}: ${name}`, { cause });
}

/** The name of an open file where the system tells, for messages. */
export function pathOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}
