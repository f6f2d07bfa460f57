/**
 * Locks of the open file description (F_OFD_SETLK, Linux >= 3.15): they exclude threads and second
 * descriptors of the same process too, and only the last close of *this* description drops them.
 * @module
 */
import { loadFcntl } from './fcntl.js';
import { findHolder } from './holder.js';
import type { LockDriver, LockHolder, LockRange, LockType } from './lock.js';
import { RecordLocks } from './record-locks.js';

export class OfdDriver implements LockDriver {
  readonly flavour = 'ofd';
  readonly #locks: RecordLocks;

  /** @throws Error where the system has no such locks */
  constructor() {
    const fcntl = loadFcntl();
    const { OFD_GETLK: get, OFD_SETLK: set } = fcntl.commands;
    if (get === undefined || set === undefined) {
      throw new Error(`${process.platform} has no locks of the open file description`);
    }
    this.#locks = new RecordLocks(fcntl, { get, set });
  }

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    return this.#locks.set(fd, type, range);
  }

  unlock(fd: number, range: LockRange): void {
    this.#locks.set(fd, 'none', range);
  }

  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    const found = this.#locks.get(fd, type, range);
    return found && findHolder(fd, found);
  }
}
