/**
 * The open connections of one server, up to a limit. Idle connections never lock a new one out: at the
 * limit, the one idle longest is closed. Those that have not completed a request are closed before those
 * that have, so that silent connections displace each other, and no client that is in use.
 * @module
 */

export interface Connection {
  /** Whether a request of it runs, or can run now. */
  readonly busy: boolean;
  close(): void;
}

export class Connections<C extends Connection> {
  readonly #max: number;
  /** Without a completed request, oldest first. */
  readonly #silent = new Set<C>();
  /** By their last completed request, longest idle first. */
  readonly #used = new Set<C>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#silent.size + this.#used.size;
  }

  /**
   * Adds a connection, and closes another one if it has to make room.
   * @returns the outcome; `refused` where all the others are busy: then the caller closes this one
   */
  admit(connection: C): 'admitted' | 'displaced another' | 'refused' {
    const full = this.size >= this.#max;
    if (full) {
      const idle = [...this.#silent, ...this.#used].find(({ busy }) => !busy);
      if (idle === undefined) return 'refused';
      this.remove(idle);
      idle.close();
    }
    this.#silent.add(connection);
    return full ? 'displaced another' : 'admitted';
  }

  /** A request of this connection was completed. */
  used(connection: C): void {
    if (!this.#silent.delete(connection) && !this.#used.delete(connection)) return;
    this.#used.add(connection);
  }

  remove(connection: C): void {
    this.#silent.delete(connection);
    this.#used.delete(connection);
  }

  *[Symbol.iterator](): Generator<C> {
    yield* this.#silent;
    yield* this.#used;
  }
}
