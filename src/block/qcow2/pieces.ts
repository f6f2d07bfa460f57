/**
 * Guest bytes in pieces: cut where the mapping changes its kind, or where clusters are not next to each
 * other in the file.
 * @module
 */
import type { Mapping } from './entries.js';
import type { Mappings } from './mapping.js';
import { type GuestCluster, type GuestOffset, guestOffset, plus } from './units.js';
import type { View } from './view.js';

export interface Piece {
  /** The mapping of the first cluster. */
  readonly mapping: Mapping;
  readonly from: GuestOffset;
  to: GuestOffset;
  /** How far into its cluster `from` is. */
  readonly into: number;
}

/** The pieces of `length` guest bytes from `offset` on. Each is looked up as the one before is taken. */
export function* pieces(
  { geometry }: View,
  mappings: Mappings,
  offset: GuestOffset,
  length: number,
): Generator<Piece> {
  const end = plus(offset, length);
  let piece: Piece | undefined;
  for (let at = offset; at < end; ) {
    const cluster = geometry.guestClusterAt(at);
    const mapping = mappings.lookup(cluster);
    const left = geometry.guestClusterAt(plus(end, -1)) - cluster + 1;
    const count = alikeFrom(mappings, cluster, mapping, left);
    const next = guestOffset(Math.min(end, geometry.guestStartOf(plus(cluster, count))));
    if (piece !== undefined && continues(piece, mapping, at)) {
      piece.to = next;
    } else {
      if (piece !== undefined) yield piece;
      piece = { mapping, from: at, to: next, into: geometry.into(at) };
    }
    at = next;
  }
  if (piece !== undefined) yield piece;
}

/** How many clusters from one on continue it, as far as its table shows at once; at least 1. */
function alikeFrom(
  mappings: Mappings,
  cluster: GuestCluster,
  mapping: Mapping,
  most: number,
): number {
  if (mapping.kind === 'unallocated') return mappings.unallocatedFrom(cluster);
  if (mapping.kind !== 'data' || !mapping.copied || most === 1) return 1;
  return mappings.runFrom(cluster, mapping.offset, most);
}

/** The guest clusters that a piece touches. */
export function clustersOf(
  { geometry }: View,
  { from, to }: Pick<Piece, 'from' | 'to'>,
): { first: GuestCluster; count: number } {
  const first = geometry.guestClusterAt(from);
  return { first, count: geometry.guestClusterAt(plus(to, -1)) - first + 1 };
}

/** Whether the cluster at guest offset `at` with this mapping is the next one of the piece. */
function continues(piece: Piece, mapping: Mapping, at: GuestOffset): boolean {
  const first = piece.mapping;
  if (first.kind === 'compressed' || mapping.kind === 'compressed') return false;
  if (first.kind === 'unallocated' || mapping.kind === 'unallocated') {
    return first.kind === mapping.kind;
  }
  if (first.kind !== mapping.kind || first.copied !== mapping.copied) return false;
  if (first.offset === 0) return mapping.offset === 0;
  return mapping.offset === first.offset + (at - (piece.from - piece.into));
}
