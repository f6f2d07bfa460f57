/**
 * The image guard of one instance: held as `writer` while the instance is active, as `incoming` while
 * it is handed over. A store that is not in an image has none.
 * @module
 */
import { type Guard, type GuardMode, takeGuard } from '../block/guard.js';
import type { BlockNode } from '../block/node.js';

export type LeaseRole = 'writer' | 'incoming';

export class Lease implements Disposable {
  readonly #image: BlockNode | undefined;
  readonly #mode: GuardMode;
  #guard: Guard | undefined;
  #role: LeaseRole | undefined;

  /**
   * Tried once, as QEMU does: a guard is held for long.
   * @throws LockError LOCKED (naming the holder), ENOTSUP, EINVAL
   */
  constructor(image: BlockNode | undefined, mode: GuardMode, role: LeaseRole) {
    this.#image = image;
    this.#mode = mode;
    this.#acquire(role);
  }

  /**
   * Changes the role. The cycle lock of the image must not be held.
   * @throws LockError LOCKED; the lease then has the role it had
   */
  become(role: LeaseRole): void {
    const before = this.#role;
    if (before === role) return;
    this.release();
    try {
      this.#acquire(role);
    } catch (error) {
      if (before !== undefined) this.#acquire(before);
      throw error;
    }
  }

  /** Idempotent. */
  release(): void {
    this.#guard?.release();
    this.#guard = undefined;
    this.#role = undefined;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #acquire(role: LeaseRole): void {
    if (this.#image === undefined) return;
    this.#guard = takeGuard(this.#image, role, this.#mode);
    this.#role = role;
  }
}
