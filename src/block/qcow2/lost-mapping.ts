/**
 * Whether the mapping of guest bytes that were allocated once is lost.
 * @module
 */
import type { Qcow2Disk } from './disk.js';
import type { Faults } from './faults.js';
import { Mappings } from './mapping.js';
import { clustersOf, type Piece, pieces } from './pieces.js';
import { faultsIn, faultsOf } from './soundness.js';
import { guestOffset, type HostOffset, plus } from './units.js';
import type { View } from './view.js';

/** A contradiction in the mapping, which is only reported here: the image is not marked. */
class Contradiction extends Error {}

const reported: Faults = {
  corrupt(why) {
    throw new Contradiction(why);
  },
};

/** What the mapping of guest bytes looks like. */
interface Examined {
  /** Bytes that have no place in the file: lost, if they ever had one. */
  lost?: string;
  /** Bytes whose place is that of metadata: damage for certain. */
  overlap?: string;
  /** Bytes that are not this layer's alone: writing them allocates, by refcounts that must be sound. */
  isShared: boolean;
}

/**
 * What is wrong with the mapping of the first `length` guest bytes, all of which were allocated in this
 * layer once. QEMU may unallocate them (commit, going back to a snapshot), but leaves a sound image.
 * Where all are allocated and written in place, as usual, only their L2 entries are read.
 * @throws IoError
 */
export function lostMapping(disk: Qcow2Disk, length: number): readonly string[] {
  const { lost, overlap, isShared } = examine(disk, length);
  if (lost === undefined) {
    const isSuspect = overlap !== undefined || isShared || hasSnapshots(disk);
    return isSuspect ? damage(disk, overlap) : [];
  }
  const faults = faultsIn(disk);
  return faults.length === 0 ? [] : [lost, ...faults];
}

/**
 * Whether the image has snapshots: a damaged pointer can lead to the tables of one, and show an older
 * state that is complete.
 */
export const hasSnapshots = ({ view }: Qcow2Disk): boolean => view.snapshots.snapshots.length > 0;

/** What a full check finds besides leaked clusters, which every power cut may leave. */
export function damage(disk: Qcow2Disk, overlap?: string): readonly string[] {
  const found = disk.check();
  const isDamaged = found.corruptions + found.checkErrors > 0;
  const faults = isDamaged ? faultsOf(found) : [];
  return overlap === undefined ? faults : [overlap, ...faults];
}

function examine({ view, cache, overlap }: Qcow2Disk, length: number): Examined {
  const mappings = new Mappings(view, cache, reported);
  const end = Math.min(length, view.header.size);
  const examined: Examined = { isShared: false };
  try {
    for (const piece of pieces(view, mappings, guestOffset(0), end)) {
      const bytes = `bytes ${piece.from} to ${piece.to} of the disk`;
      const start = lastClusterOf(view, piece);
      if (start === undefined) return { ...examined, lost: `${bytes} have no place in the image` };
      if (start >= view.host.length) {
        return { ...examined, lost: `${bytes} are mapped past the end of the file` };
      }
      const { mapping } = piece;
      if (mapping.kind !== 'data' || !mapping.copied) {
        examined.isShared = true;
        continue;
      }
      const hit = overlap.sectionAt(mapping.offset, piece.to - piece.from + piece.into);
      if (hit !== undefined) examined.overlap ??= `${bytes} are mapped onto ${hit}`;
    }
    return examined;
  } catch (error) {
    if (error instanceof Contradiction) return { ...examined, lost: error.message };
    throw error;
  }
}

/**
 * Where the last cluster of a piece starts in the file, if its bytes are there. Zero clusters are not:
 * no store makes them, and the check tells damage from what QEMU has done.
 */
function lastClusterOf(view: View, piece: Piece): HostOffset | undefined {
  const { mapping } = piece;
  if (mapping.kind === 'compressed') return mapping.offset;
  if (mapping.kind !== 'data') return undefined;
  return plus(mapping.offset, view.geometry.bytesOf(clustersOf(view, piece).count - 1));
}
