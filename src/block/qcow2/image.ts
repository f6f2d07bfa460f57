/**
 * What the parts of the qcow2 node share: the header as it is now, the sums that follow from it,
 * the file and the cached metadata.
 * @module
 */
import type { MetadataCache } from './cache.js';
import type { Extension } from './extensions.js';
import type { Header } from './header.js';
import type { HostFile } from './host.js';
import type { Overlap } from './overlap.js';
import type { Refcounts } from './refcounts.js';
import type { SnapshotTable } from './snapshots.js';

export interface Image {
  readonly path: string;
  readonly host: HostFile;
  readonly header: Header;
  readonly geometry: Geometry;
  readonly extensions: readonly Extension[];
  readonly snapshots: SnapshotTable;
  readonly cache: MetadataCache;
  readonly overlap: Overlap;
  readonly refcounts: Refcounts;
  /** Stops the use of an image whose metadata contradicts itself, and marks it where it may. */
  corrupt(why: string): never;
  /** Writes the header with these fields changed, durably before and after. */
  rewriteHeader(changes: Partial<Header>): void;
}

export interface Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Entries of an L2 table, which is one cluster. */
  readonly l2Entries: number;
  readonly refcountOrder: number;
  /** Refcounts in a refcount block, which is one cluster. */
  readonly refcountsPerBlock: number;
}

export function geometryOf({ clusterBits, refcountOrder }: Header): Geometry {
  const clusterSize = 2 ** clusterBits;
  return {
    clusterBits,
    clusterSize,
    l2Entries: clusterSize / 8,
    refcountOrder,
    refcountsPerBlock: (clusterSize * 8) / 2 ** refcountOrder,
  };
}
