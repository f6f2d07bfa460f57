/**
 * What a transition has acquired so far: released in reverse order, unless the transition succeeds.
 * DisposableStack, which Node 20 does not have.
 * @module
 */
import { NvtpmError } from '../errors.js';

export class Cleanup implements Disposable {
  #releases: (() => void)[] = [];

  /** Returns `value`, to be released by `release` if the transition fails. */
  add<T>(value: T, release: (value: T) => void): T {
    this.#releases.push(() => release(value));
    return value;
  }

  /** The transition has succeeded: what was acquired belongs to the new phase. */
  keep(): void {
    this.#releases = [];
  }

  /** Errors of the host are dropped: the one that led here is already on its way. */
  [Symbol.dispose](): void {
    const bugs: unknown[] = [];
    for (const release of this.#releases.splice(0).reverse()) {
      try {
        release();
      } catch (error) {
        if (!(error instanceof NvtpmError)) bugs.push(error);
      }
    }
    if (bugs.length > 0) throw bugs[0];
  }
}
