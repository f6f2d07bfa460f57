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

  /** Whether any of `count` clusters from `first` on is in the set. */
  hasAny(first: ClusterIndex, count: number): boolean {
    const end = first + count;
    for (let i = this.#from(first); i < this.#sorted.length; i += 1) {
      const cluster = this.#sorted[i]! as ClusterIndex;
      if (cluster >= end) break;
      if (!this.#removed.has(cluster)) return true;
    }
    for (const cluster of this.#added) if (cluster >= first && cluster < end) return true;
    return false;
  }

  /** Where the first member that is not below `cluster` is, or would be. */
  #from(cluster: ClusterIndex): number {
    let from = 0;
    let to = this.#sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#sorted[middle]! < cluster) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
