/**
 * POSIX record locks (F_SETLK), for systems without locks of the open file description. They belong
 * to the process: its threads and its descriptors do not exclude each other, and closing any
 * descriptor of the file drops them all. So the registry keeps our own descriptors apart and holds
 * their closing back, threads other than the main one are refused, and a lock that was dropped by a
 * close that we did not see is noticed when it is given back.
 * @module
 */
import { isMainThread } from 'node:worker_threads';
import { loadFcntl } from './fcntl.js';
import { findHolder, posixLocksOfThisProcess } from './holder.js';
import {
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
} from './lock.js';
import { overlap, subtract } from './range.js';
import { pathOf, RecordLocks } from './record-locks.js';
import { closeWaiting, locksBeside, locksOf, noteLock, noteUnlock, rivalOf } from './registry.js';

export class PosixDriver implements LockDriver {
  readonly flavour = 'posix';
  readonly #locks: RecordLocks;
  /** To locks of the open file description our own POSIX locks are somebody else's. */
  readonly #asStranger: RecordLocks | undefined;

  /** @throws LockError ENOTSUP in a worker thread */
  constructor() {
    if (!isMainThread) {
      throw new LockError(
        'ENOTSUP',
        '',
        'POSIX locks do not tell the threads of a process apart; lock in the main thread, or in a process of its own',
      );
    }
    const fcntl = loadFcntl();
    const { GETLK: get, SETLK: set, OFD_GETLK, OFD_SETLK } = fcntl.commands;
    this.#locks = new RecordLocks(fcntl, { get, set });
    if (OFD_GETLK !== undefined && OFD_SETLK !== undefined) {
      this.#asStranger = new RecordLocks(fcntl, { get: OFD_GETLK, set: OFD_SETLK });
    }
  }

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    if (rivalOf(fd, type, range) !== undefined) return false;
    if (!this.#locks.set(fd, type, range)) return false;
    noteLock({ driver: this, fd, type, range });
    return true;
  }

  /** @throws LockError LOST (the lock is given back all the same), SYSTEM */
  unlock(fd: number, range: LockRange): void {
    const lost = this.#missing(fd, range);
    noteUnlock(fd, range);
    // Bytes that another descriptor of this process shares stay locked: the system counts them once.
    const shared = locksBeside(fd).map(lock => lock.range);
    for (const piece of subtract(range, shared)) this.#locks.set(fd, 'none', piece);
    closeWaiting();
    if (!lost) return;
    const path = pathOf(fd);
    throw new LockError(
      'LOST',
      path,
      `${path}: the lock was lost while it was held, because this process closed the file through another descriptor; do not trust what was written, and open the image only once in a process`,
    );
  }

  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    // The system never names a lock of the asking process itself.
    const rival = rivalOf(fd, type, range);
    const found = rival ? { ...rival, pid: process.pid } : this.#locks.get(fd, type, range);
    return found && findHolder(fd, found);
  }

  /** Whether the system forgot about bytes that we hold. False where it does not tell. */
  #missing(fd: number, range: LockRange): boolean {
    if (this.#seenByStranger(fd, range)) return false;
    const listed = posixLocksOfThisProcess(fd);
    if (listed === undefined) return false;
    const there = listed.map(lock => lock.range);
    const gone = locksOf(fd).flatMap(lock => subtract(lock.range, there));
    return gone.some(piece => overlap(piece, range));
  }

  /** The quick way to know that our locks are there: a close would have dropped all of them. */
  #seenByStranger(fd: number, range: LockRange): boolean {
    try {
      return this.#asStranger?.get(fd, 'exclusive', range)?.pid === process.pid;
    } catch {
      return false; // A kernel older than these locks.
    }
  }
}
