/** Everything that a guest at random draws, out of a seed. */
import { random } from '../tis/random.js';

export class Draws {
  readonly #below: (below: number) => number;

  constructor(seed: number) {
    this.#below = random(seed);
  }

  below(limit: number): number {
    return this.#below(limit);
  }

  chance(of: number): boolean {
    return this.#below(of) === 0;
  }

  /** One of a list; undefined of an empty one. */
  pick<T>(list: readonly [T, ...(readonly T[])]): T;
  pick<T>(list: readonly T[]): T | undefined;
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.#below(Math.max(list.length, 1))];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#below(256));
  }
}
