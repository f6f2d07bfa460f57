/**
 * How often each cluster of a file is referred to, counted for a check. Counters come in chunks
 * that are made when a cluster of theirs is met, so that memory follows what the image holds and
 * not how long its sparse file claims to be.
 * @module
 */
const CHUNK = 4096;

export class References {
  readonly #chunks = new Map<number, Float64Array>();
  #highest = -1;

  /** The last cluster that anything refers to; -1 for none. */
  get highest(): number {
    return this.#highest;
  }

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
  }

  set(cluster: number, count: number): void {
    const key = Math.floor(cluster / CHUNK);
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) {
      chunk = new Float64Array(CHUNK);
      this.#chunks.set(key, chunk);
    }
    chunk[cluster % CHUNK] = count;
    this.#highest = Math.max(this.#highest, cluster);
  }

  /** All clusters with a count, lowest first. */
  *entries(): Generator<readonly [cluster: number, count: number]> {
    for (const key of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(key)!;
      for (let i = 0; i < CHUNK; i += 1) {
        if (chunk[i]! > 0) yield [key * CHUNK + i, chunk[i]!];
      }
    }
  }
}
