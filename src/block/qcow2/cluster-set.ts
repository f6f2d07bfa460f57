/**
 * A set of cluster numbers, eight bytes each: a `Set` of as many numbers takes five times that.
 * @module
 */
import type { ClusterIndex } from './units.js';

export class ClusterSet {
  readonly #sorted: Float64Array;
  readonly #added = new Set<ClusterIndex>();
  readonly #removed = new Set<ClusterIndex>();

  constructor(clusters: readonly ClusterIndex[]) {
    this.#sorted = Float64Array.from(clusters).sort();
  }

  add(cluster: ClusterIndex): void {
    this.#removed.delete(cluster);
    this.#added.add(cluster);
  }

  delete(cluster: ClusterIndex): void {
    this.#added.delete(cluster);
    this.#removed.add(cluster);
  }

  has(cluster: ClusterIndex): boolean {
    if (this.#added.has(cluster)) return true;
    let from = 0;
    let to = this.#sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#sorted[middle]! < cluster) from = middle + 1;
      else to = middle;
    }
    return this.#sorted[from] === cluster && !this.#removed.has(cluster);
  }
}
