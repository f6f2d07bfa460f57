/**
 * The number of references to each cluster of a file, counted for a check. Counters are allocated in
 * chunks on first use, so that memory grows with what the image holds and not with the length of a
 * sparse file.
 * @module
 */
import { type ClusterIndex, clusterIndex } from './units.js';

const CHUNK = 4096;

export class References {
  readonly #chunks = new Map<number, Float64Array>();
  #highest = -1;

  /** The last cluster that anything refers to; -1 for none. */
  get highest(): number {
    return this.#highest;
  }

  get(cluster: ClusterIndex): number {
    return this.#chunks.get(Math.floor(cluster / CHUNK))?.[cluster % CHUNK] ?? 0;
  }

  set(cluster: ClusterIndex, count: number): void {
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
  *entries(): Generator<readonly [cluster: ClusterIndex, count: number]> {
    for (const key of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(key)!;
      for (let i = 0; i < CHUNK; i += 1) {
        if (chunk[i]! > 0) yield [clusterIndex(key * CHUNK + i), chunk[i]!];
      }
    }
  }
}
