/**
 * The nesting lock of one open file: the first acquire takes it, the last release releases it. One
 * counter for each open image, unlike the 2011 patch, which had one for the driver.
 * @module
 */
import assert from 'node:assert/strict';
import {
  type LockDriver,
  type LockDriverFor,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
  WHOLE_FILE,
} from '../lock/lock.js';
import type { Trace } from '../trace.js';

interface LockedFile {
  readonly path: string;
  /** The descriptor, or undefined once the file is closed. */
  readonly fd: () => number | undefined;
  readonly driver: LockDriverFor;
  readonly trace: Trace;
}

export class FileLocks {
  readonly #of: LockedFile;
  /** Chosen with the first lock and kept: an unlock by another flavour would unlock nothing. */
  #driver: LockDriver | undefined;
  #depth = 0;
  #type: LockType | undefined;
  #range: LockRange = WHOLE_FILE;

  constructor(of: LockedFile) {
    this.#of = of;
  }

  get flavour(): string {
    return this.driver.flavour;
  }

  get driver(): LockDriver {
    this.#driver ??= this.#of.driver(this.fd);
    return this.#driver;
  }

  /** The descriptor that holds the lock, for locks on other bytes beside it. */
  get fd(): number {
    const fd = this.#of.fd();
    if (fd !== undefined) return fd;
    throw new LockError('ENOMEDIUM', this.#of.path, `${this.#of.path} is closed; open it first`);
  }

  /** Whether the file is open still. */
  get open(): boolean {
    return this.#of.fd() !== undefined;
  }

  get depth(): number {
    return this.#depth;
  }

  get type(): LockType | undefined {
    return this.#type;
  }

  /**
   * The bytes that the lock covers: all, or from 300 on while the image guard holds QEMU's bytes
   * below. Changes only while no lock is held.
   */
  get range(): LockRange {
    return this.#range;
  }

  set range(range: LockRange) {
    assert.equal(this.#depth, 0, 'the range of a held lock cannot change');
    this.#range = range;
  }

  /**
   * False where another holder forbids it; any lock already held is kept.
   * @throws LockError ENOMEDIUM, ENOTSUP, EINVAL, SYSTEM
   */
  tryAcquire(type: LockType): boolean {
    const { path } = this.#of;
    if (type !== 'shared' && type !== 'exclusive') {
      throw new LockError('EINVAL', path, `${path}: invalid lock type '${String(type)}'`);
    }
    // A nested lock that the outer one covers costs nothing; a stronger one is an upgrade.
    if (this.#depth === 0 || (this.#type === 'shared' && type === 'exclusive')) {
      if (!this.driver.tryLock(this.fd, type, this.#range)) return false;
      this.#type = type;
      if (this.#depth === 0) this.#of.trace({ event: 'lock', type, path, flavour: this.flavour });
    }
    this.#depth += 1;
    return true;
  }

  /** The holder that forbids a lock of this type. */
  holder(type: LockType): LockHolder | undefined {
    return this.driver.holder(this.fd, type, this.#range);
  }

  /** @throws LockError NOT_LOCKED, LOST, SYSTEM */
  release(): void {
    const { path } = this.#of;
    if (this.#depth === 0) {
      throw new LockError('NOT_LOCKED', path, `${path} is not locked, so it cannot be unlocked`);
    }
    this.#depth -= 1;
    if (this.#depth > 0) return;
    // Whatever the result, treat the lock as released.
    this.#type = undefined;
    if (!this.open) return;
    this.driver.unlock(this.fd, this.#range);
    this.#of.trace({ event: 'unlock', path });
  }
}
