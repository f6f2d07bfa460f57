/**
 * The lock as the patch of 2011 had it (block/raw-posix.c of "[PATCH V8 08/14] Introduce file lock
 * for the block layer"), for tests of its weaknesses: one counter for the whole driver, a shared
 * lock silently kept where an exclusive one was requested, a counter that a surplus unlock takes
 * below zero, and a wait without a timeout.
 */
import assert from 'node:assert/strict';
import type { FileNode } from '../../src/block/index.js';
import { type LockType, type LockWait, WHOLE_FILE } from '../../src/lock/lock.js';
import { lockedError } from '../../src/lock/request.js';
import { retry } from '../../src/lock/wait.js';
import { type FlockType, loadFcntl } from '../../src/native/fcntl.js';

const F_SETLKW = 7;

/** What both ways of locking an open file are asked. */
export interface NestedLocks {
  readonly depth: number;
  acquire(type: LockType, wait: LockWait): void;
  release(): void;
}

/** Ours: what a file node does below bdrv_lock. */
export class OurLocks implements NestedLocks {
  readonly #file: FileNode;

  constructor(file: FileNode) {
    this.#file = file;
  }

  get depth(): number {
    return this.#file.locks.depth;
  }

  acquire(type: LockType, wait: LockWait): void {
    const { path, locks } = this.#file;
    const acquired = retry(path, wait, () => locks.tryAcquire(type) || undefined);
    if (!acquired) throw lockedError({ path, type }, locks.holder(type), wait);
  }

  release(): void {
    this.#file.locks.release();
  }
}

export class SeedLocks implements NestedLocks {
  /** `drv->num_locks`. */
  static #numLocks = 0;
  readonly flavour = 'posix';
  readonly fd: number;
  range = WHOLE_FILE;
  type: LockType | undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  get depth(): number {
    return SeedLocks.#numLocks;
  }

  acquire(type: LockType): void {
    if (SeedLocks.#numLocks !== 0) {
      SeedLocks.#numLocks += 1;
      return;
    }
    this.#call(type === 'shared' ? 'F_RDLCK' : 'F_WRLCK');
    this.type = type;
    SeedLocks.#numLocks = 1;
  }

  release(): void {
    SeedLocks.#numLocks -= 1;
    if (SeedLocks.#numLocks > 0) return;
    assert.equal(SeedLocks.#numLocks, 0);
    this.#call('F_UNLCK');
  }

  /** For the next test: the driver's counter outlives all images. */
  static forget(): void {
    SeedLocks.#numLocks = 0;
  }

  #call(type: FlockType): void {
    const fcntl = loadFcntl();
    assert.equal(fcntl.call(this.fd, F_SETLKW, fcntl.flock().write(type, 0, 0)), 0);
  }
}
