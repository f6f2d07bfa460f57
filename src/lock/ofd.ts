/**
 * Locks of the open file description (F_OFD_SETLK, Linux >= 3.15): they exclude threads and second
 * descriptors of the same process too, and only the last close of *this* description drops them.
 * @module
 */
import { constants } from 'node:os';
import { COMMAND, errnoName, type Fcntl, loadFcntl } from './fcntl.js';
import { findHolder } from './holder.js';
import { type LockDriver, LockError, type LockRange, type LockType } from './lock.js';

export class OfdDriver implements LockDriver {
  readonly flavour = 'ofd';
  readonly #fcntl: Fcntl = loadFcntl();
  /** Encoded structures by type and range: a program uses a handful, each many times. */
  readonly #encoded = new Map<string, Uint8Array>();

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    const errno = this.#fcntl.call(fd, COMMAND.OFD_SETLK, this.#flock(type, range));
    if (errno === 0) return true;
    if (errno === constants.errno.EAGAIN || errno === constants.errno.EACCES) return false;
    throw refused(`take the ${type} lock`, fd, errno);
  }

  unlock(fd: number, range: LockRange): void {
    const errno = this.#fcntl.call(fd, COMMAND.OFD_SETLK, this.#flock('none', range));
    if (errno !== 0) throw refused('give the lock back', fd, errno);
  }

  holder(fd: number, type: LockType, range: LockRange) {
    // A copy: the kernel answers in the same structure.
    const flock = this.#flock(type, range).slice();
    const errno = this.#fcntl.call(fd, COMMAND.OFD_GETLK, flock);
    if (errno !== 0) throw refused('ask who holds the lock', fd, errno);
    const found = this.#fcntl.decode(flock);
    return found.type === 'none'
      ? undefined
      : findHolder(fd, { type: found.type, range: found.range, pid: found.pid });
  }

  #flock(type: LockType | 'none', range: LockRange): Uint8Array {
    const key = `${type} ${range.start} ${range.length}`;
    let flock = this.#encoded.get(key);
    if (flock === undefined) {
      flock = this.#fcntl.encode(type, range);
      if (this.#encoded.size < 64) this.#encoded.set(key, flock);
    }
    return flock;
  }
}

function refused(what: string, fd: number, errno: number): LockError {
  const name = errnoName(errno);
  return new LockError('SYSTEM', `descriptor ${fd}`, `the system refused to ${what}: ${name}`, {
    cause: Object.assign(new Error(name), { code: name, errno }),
  });
}
