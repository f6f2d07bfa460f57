/**
 * Offsets and cluster numbers, each a type of its own, so that a place in the file cannot be used as a
 * place on the guest's disk. The factor between bytes and clusters is applied in `Geometry` only.
 * @module
 */
declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]: Name };

/** A byte of the image file. */
export type HostOffset = Unit<'host offset'>;
/** A byte of the guest's disk. */
export type GuestOffset = Unit<'guest offset'>;
/** A cluster of the image file, counted from its start. */
export type ClusterIndex = Unit<'host cluster'>;
/** A cluster of the guest's disk, counted from its start. */
export type GuestCluster = Unit<'guest cluster'>;

export const hostOffset = (bytes: number): HostOffset => bytes as HostOffset;
export const guestOffset = (bytes: number): GuestOffset => bytes as GuestOffset;
export const clusterIndex = (index: number): ClusterIndex => index as ClusterIndex;

/** `count` units further on. */
export const plus = <T extends Unit<string>>(from: T, count: number): T => (from + count) as T;

/** Clusters of the file next to each other. */
export interface Run {
  readonly first: ClusterIndex;
  readonly count: number;
}

/** The sizes that follow from the header, and the conversions between bytes and clusters. */
export class Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Entries of an L2 table, which is one cluster. */
  readonly l2Entries: number;
  readonly refcountOrder: number;
  /** Refcounts in a refcount block, which is one cluster. */
  readonly refcountsPerBlock: number;

  constructor(clusterBits: number, refcountOrder: number) {
    this.clusterBits = clusterBits;
    this.clusterSize = 2 ** clusterBits;
    this.l2Entries = this.clusterSize / 8;
    this.refcountOrder = refcountOrder;
    this.refcountsPerBlock = (this.clusterSize * 8) / 2 ** refcountOrder;
  }

  /** Where a cluster of the file starts. */
  startOf(cluster: ClusterIndex): HostOffset {
    return (cluster * this.clusterSize) as HostOffset;
  }

  /** The cluster of the file that `offset` lies in. */
  clusterAt(offset: HostOffset): ClusterIndex {
    return Math.floor(offset / this.clusterSize) as ClusterIndex;
  }

  /** Where a cluster of the guest's disk starts. */
  guestStartOf(cluster: GuestCluster): GuestOffset {
    return (cluster * this.clusterSize) as GuestOffset;
  }

  /** The cluster of the guest's disk that `offset` lies in. */
  guestClusterAt(offset: GuestOffset): GuestCluster {
    return Math.floor(offset / this.clusterSize) as GuestCluster;
  }

  /** The clusters of the file that the `length` bytes at `offset` lie in. */
  runOf(offset: HostOffset, length: number): Run {
    const first = this.clusterAt(offset);
    return {
      first,
      count: length === 0 ? 0 : this.clusterAt(plus(offset, length - 1)) - first + 1,
    };
  }

  /** How far `offset` is from the start of its cluster. */
  into(offset: number): number {
    return offset % this.clusterSize;
  }

  /** How many clusters hold this many bytes. */
  clustersFor(bytes: number): number {
    return Math.ceil(bytes / this.clusterSize);
  }

  bytesOf(clusters: number): number {
    return clusters * this.clusterSize;
  }
}
