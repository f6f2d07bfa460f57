/**
 * Locks of the open file description (F_OFD_SETLK, Linux >= 3.15): they exclude threads and second
 * descriptors of the same process too, and only the last close of *this* description drops them.
 * @module
 */
import { NativeError } from '../native/error.js';
import { loadFcntl } from '../native/fcntl.js';
import { holdersOf, withProcess } from './holders.js';
import type { LockDriver, LockHolder, LockRange, LockType } from './lock.js';
import { RecordLocks } from './record-locks.js';

export class OfdDriver implements LockDriver {
  readonly flavour = 'ofd';
  readonly #locks: RecordLocks;

  /** @throws NativeError where the system has no such locks */
  constructor() {
    const fcntl = loadFcntl();
    const { F_OFD_GETLK: get, F_OFD_SETLK: set } = fcntl.commands;
    if (get === undefined || set === undefined) {
      throw new NativeError(`${process.platform} has no locks of the open file description`);
    }
    this.#locks = new RecordLocks(fcntl, { get, set });
  }

  /** False on Linux before 3.15. @throws LockError ENOTSUP, SYSTEM */
  supports(fd: number): boolean {
    return this.#locks.supports(fd);
  }

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    return this.#locks.set(fd, type, range);
  }

  unlock(fd: number, range: LockRange): void {
    this.#locks.release(fd, range);
  }

  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    const found = this.#locks.get(fd, type, range);
    return found && withProcess(fd, found);
  }

  holders(fd: number, range: LockRange): LockHolder[] {
    return holdersOf(this.#locks, fd, range);
  }
}
