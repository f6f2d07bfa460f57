/**
 * POSIX record locks (F_SETLK), for systems without locks of the open file description. They belong
 * to the process: its threads and its descriptors do not exclude each other, and closing any
 * descriptor of the file drops them all. So the registry keeps the descriptors of this process apart
 * and defers their closing, threads other than the main one are refused, and a lock that another
 * close dropped is noticed when it is released.
 * @module
 */
import { isMainThread } from 'node:worker_threads';
import { loadFcntl } from '../native/fcntl.js';
import { holdersOf, ownHolder, posixLocksOfThisProcess, withProcess } from './holders.js';
import {
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
} from './lock.js';
import { overlap, subtract } from './range.js';
import { pathOf, RecordLocks } from './record-locks.js';
import {
  closeDeferred,
  conflictOf,
  locksBeside,
  locksOf,
  noteLock,
  noteUnlock,
} from './registry.js';

export class PosixDriver implements LockDriver {
  readonly flavour = 'posix';
  readonly #locks: RecordLocks;
  /** To OFD locks the POSIX locks of the same process are another owner's. */
  readonly #asOtherOwner: RecordLocks | undefined;

  /** @throws LockError ENOTSUP in a worker thread; NativeError where the system has no fcntl(2) */
  constructor() {
    if (!isMainThread) {
      throw new LockError(
        'ENOTSUP',
        '',
        'POSIX locks do not exclude the threads of one process; lock in the main thread, or in a process of its own',
      );
    }
    const fcntl = loadFcntl();
    const { F_GETLK: get, F_SETLK: set, F_OFD_GETLK, F_OFD_SETLK } = fcntl.commands;
    this.#locks = new RecordLocks(fcntl, { get, set });
    if (F_OFD_GETLK !== undefined && F_OFD_SETLK !== undefined) {
      this.#asOtherOwner = new RecordLocks(fcntl, { get: F_OFD_GETLK, set: F_OFD_SETLK });
    }
  }

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    if (conflictOf(fd, type, range) !== undefined) return false;
    if (!this.#locks.set(fd, type, range)) return false;
    noteLock({ driver: this, fd, type, range });
    return true;
  }

  /** @throws LockError LOST (the lock is released anyway), SYSTEM */
  unlock(fd: number, range: LockRange): void {
    const lost = this.#lost(fd, range);
    noteUnlock(fd, range);
    // Bytes that another descriptor of this process shares stay locked: the system counts them once.
    const shared = locksBeside(fd).map(lock => lock.range);
    for (const piece of subtract(range, shared)) this.#locks.release(fd, piece);
    closeDeferred();
    if (!lost) return;
    const path = pathOf(fd);
    throw new LockError(
      'LOST',
      path,
      `${path}: the lock was lost while it was held, because this process closed the file through another descriptor; do not trust what was written, and open the image only once in a process`,
    );
  }

  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    // F_GETLK never reports a lock of the calling process.
    const own = conflictOf(fd, type, range);
    if (own !== undefined) return ownHolder(own);
    const found = this.#locks.get(fd, type, range);
    return found && withProcess(fd, found);
  }

  holders(fd: number, range: LockRange): LockHolder[] {
    return holdersOf(this.#locks, fd, range);
  }

  /** Whether the system has dropped bytes that `fd` holds. False where it does not tell. */
  #lost(fd: number, range: LockRange): boolean {
    if (this.#reportedToOtherOwners(fd, range)) return false;
    const listed = posixLocksOfThisProcess(fd);
    if (listed === undefined) return false;
    const there = listed.map(lock => lock.range);
    const gone = locksOf(fd).flatMap(lock => subtract(lock.range, there));
    return gone.some(piece => overlap(piece, range));
  }

  /** The quick check: a close would have dropped all locks of this process on the file. */
  #reportedToOtherOwners(fd: number, range: LockRange): boolean {
    try {
      return this.#asOtherOwner?.get(fd, 'exclusive', range)?.pid === process.pid;
    } catch {
      return false; // A kernel without OFD locks.
    }
  }
}
