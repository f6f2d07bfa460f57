/**
 * Finding room for what a commit writes, clear of everything that the old state uses.
 * @module
 */
import { NvramError } from '../errors.js';
import type { BlobName } from '../store.js';
import { allocate, type Extent, roundUp, stretches } from './extents.js';
import { isCurrent } from './history.js';
import {
  AREA_BYTES_MAX,
  type Directory,
  ENTRIES_MAX,
  type Entry,
  PAGE_BYTES,
  type SlotIndex,
} from './layout.js';
import { sha256 } from './pages.js';

/** A blob that is to be written. */
export interface Draft {
  readonly name: BlobName;
  readonly generation: number;
  readonly lastGeneration: number;
  /** As they will be stored. */
  readonly bytes: Uint8Array;
  /** Their SHA-256, where it is known already. */
  readonly digest?: Uint8Array | undefined;
}

export type Write = readonly [offset: number, bytes: Uint8Array];

export interface Placed {
  readonly entries: Entry[];
  readonly writes: Write[];
  /** Larger than before where the area had to grow. */
  readonly areaLength: number;
}

/** Of the disk that a store lies on. */
export interface Room {
  readonly path: string;
  readonly length: number;
}

/** An area grows by this, or by what one blob needs. */
const GROWTH_BYTES = 256 * 1024;

/**
 * Gives every draft a place, and writes nothing. The first current blob has the halves, beside the
 * directories; the others keep out of its way. An area that is full grows, as far as the disk goes.
 * @throws NvramError TOO_SMALL
 */
export function place(
  planned: readonly (Entry | Draft)[],
  old: Directory,
  into: SlotIndex,
  disk: Room,
): Placed {
  if (planned.length > ENTRIES_MAX) {
    const why = `a directory has room for ${ENTRIES_MAX} blobs, and there are ${planned.length}`;
    throw new NvramError('TOO_SMALL', disk.path, [why]);
  }
  const used: Extent[] = [...old.entries];
  const primary = old.entries.find(isCurrent)?.name ?? planned[0]?.name;
  const writes: Write[] = [];
  let { areaLength } = old;
  const entries = planned.map(each => {
    if (!('bytes' in each)) return each;
    const { bytes, digest = sha256(bytes), ...head } = each;
    const isPrimary = each.name === primary && isCurrent(each);
    const room = roundUp(bytes.length);
    let offset = allocate(room, used, wanted(areaLength, into, isPrimary));
    if (offset === undefined) {
      areaLength = grown(areaLength, room, disk);
      offset = allocate(room, used, wanted(areaLength, into, isPrimary));
    }
    if (offset === undefined) {
      const why = `there is no room for ${bytes.length} bytes of blob ${each.name}`;
      throw new NvramError('TOO_SMALL', disk.path, [`${why} on a disk of ${disk.length}`]);
    }
    used.push({ offset, length: bytes.length });
    writes.push([offset, bytes]);
    return { ...head, offset, length: bytes.length, digest };
  });
  return { entries: primaryFirst(entries, primary), writes, areaLength };
}

function wanted(areaLength: number, into: SlotIndex, isPrimary: boolean): Extent[] {
  const { halves, pool } = stretches(areaLength);
  const near = [halves[into], halves[1 - into]!];
  return isPrimary ? [...near, pool] : [pool, ...near];
}

function grown(areaLength: number, room: number, { length }: Room): number {
  const most = Math.min(AREA_BYTES_MAX, Math.floor(length / PAGE_BYTES) * PAGE_BYTES);
  return Math.max(areaLength, Math.min(most, areaLength + Math.max(GROWTH_BYTES, room)));
}

/** The blob that lies beside the directories stays in the first place, so that it is known again. */
const primaryFirst = (entries: readonly Entry[], primary: BlobName | undefined): Entry[] => {
  const isPrimary = (entry: Entry): boolean => entry.name === primary && isCurrent(entry);
  return [...entries.filter(isPrimary), ...entries.filter(entry => !isPrimary(entry))];
};
