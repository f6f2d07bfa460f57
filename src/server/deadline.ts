/**
 * How long a request may stay incomplete: a client that sends half of one and falls silent does not
 * keep its connection for ever.
 * @module
 */

/** Default limit, in milliseconds: far more than a whole request takes on a slow network. */
export const PARTIAL_MS = 10_000;

export class Deadline {
  readonly #ms: number;
  readonly #expired: () => void;
  #timer: NodeJS.Timeout | undefined;
  #grace: NodeJS.Immediate | undefined;

  /** @param expired called `ms` milliseconds after start(), unless clear() was called before */
  constructor(ms: number, expired: () => void) {
    this.#ms = ms;
    this.#expired = expired;
  }

  /** Without effect while it runs: more bytes of the same request do not extend it. */
  start(): void {
    this.#timer ??= setTimeout(() => {
      // What arrived while the process was busy is read before this runs, and clears the deadline.
      this.#grace = setImmediate(this.#expired);
    }, this.#ms).unref();
  }

  clear(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    clearImmediate(this.#grace);
    this.#timer = undefined;
  }
}
