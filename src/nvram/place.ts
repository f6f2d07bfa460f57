/**
 * Finding room for what a commit writes, clear of everything that the old state uses.
 * @module
 */
import { concat } from '../wire/codec.js';
import { NvramError } from './errors.js';
import { allocate, type Extent, roundUp, stretches } from './extents.js';
import { isCurrent } from './history.js';
import {
  type Directory,
  ENTRIES_MAX,
  type Entry,
  PAGE_BYTES,
  type SlotIndex,
  sha256,
} from './layout.js';

/** A blob that is to be written. */
export interface Draft {
  readonly name: string;
  readonly generation: number;
  readonly until: number;
  /** As they will be stored. */
  readonly bytes: Uint8Array;
  /** Their SHA-256, where it is known already. */
  readonly digest?: Uint8Array | undefined;
}

export interface Placed {
  readonly entries: Entry[];
  readonly writes: [number, Uint8Array][];
  /** Larger than before where the area had to grow. */
  readonly areaLength: number;
}

/** An area grows by this, or by what one blob needs. */
const GROWTH_BYTES = 256 * 1024;

/**
 * Gives every draft a place. The first current blob has the halves, beside the directories; the
 * others keep out of its way. An area that is full grows, as far as the disk goes.
 * @throws NvramError TOO_SMALL
 */
export function place(
  planned: readonly (Entry | Draft)[],
  old: Directory,
  into: SlotIndex,
  disk: { readonly path: string; readonly length: number },
): Placed {
  const used: Extent[] = [...old.entries];
  const primary = old.entries.find(isCurrent)?.name ?? planned[0]?.name;
  const writes: [number, Uint8Array][] = [];
  let { areaLength } = old;
  const tooSmall = (why: string): NvramError => new NvramError('TOO_SMALL', disk.path, [why]);

  const entries = planned.map(each => {
    if (!('bytes' in each)) return each;
    const { bytes, digest = sha256(bytes), ...head } = each;
    const room = roundUp(bytes.length);
    const find = (): number | undefined => {
      const { halves, pool } = stretches(areaLength);
      const near = [halves[into], halves[1 - into]!];
      const wanted = each.name === primary && each.until === 0 ? [...near, pool] : [pool, ...near];
      return allocate(room, used, wanted);
    };
    let offset = find();
    if (offset === undefined) {
      const most = Math.floor(disk.length / PAGE_BYTES) * PAGE_BYTES;
      areaLength = Math.min(most, areaLength + Math.max(GROWTH_BYTES, room));
      offset = find();
    }
    if (offset === undefined) {
      const why = `there is no room for ${bytes.length} bytes of blob ${each.name}`;
      throw tooSmall(`${why} on a disk of ${disk.length}`);
    }
    used.push({ offset, length: bytes.length });
    writes.push([offset, bytes]);
    return { ...head, offset, length: bytes.length, digest };
  });
  if (entries.length > ENTRIES_MAX) {
    throw tooSmall(
      `a directory has room for ${ENTRIES_MAX} blobs, and there are ${entries.length}`,
    );
  }
  return { entries: primaryFirst(entries, primary), writes, areaLength };
}

/** The blob that lies beside the directories stays in the first place, so that it is known again. */
const primaryFirst = (entries: readonly Entry[], primary: string | undefined): Entry[] => {
  const isPrimary = (entry: Entry): boolean => entry.name === primary && isCurrent(entry);
  return [...entries.filter(isPrimary), ...entries.filter(entry => !isPrimary(entry))];
};

/** Memory that is used again for every commit: fresh pages cost more than the copying. */
export class Scratch {
  readonly page = new Uint8Array(PAGE_BYTES);
  readonly #run = new Uint8Array(16 * PAGE_BYTES);

  /**
   * Writes that touch each other, made into one: a system call and a disk request fewer. What is
   * yielded is valid until the next one.
   */
  *joined(
    writes: readonly (readonly [number, Uint8Array])[],
  ): Generator<readonly [number, Uint8Array], void, void> {
    const sorted = [...writes].sort((a, b) => a[0] - b[0]);
    for (let from = 0; from < sorted.length; ) {
      const [offset, first] = sorted[from]!;
      let to = from + 1;
      let length = first.length;
      while (to < sorted.length && sorted[to]![0] === offset + length) {
        length += sorted[to]![1].length;
        to += 1;
      }
      yield [offset, this.#gather(sorted.slice(from, to), length)];
      from = to;
    }
  }

  #gather(writes: readonly (readonly [number, Uint8Array])[], length: number): Uint8Array {
    if (writes.length === 1) return writes[0]![1];
    if (length > this.#run.length) return concat(...writes.map(([, bytes]) => bytes));
    let at = 0;
    for (const [, bytes] of writes) {
      this.#run.set(bytes, at);
      at += bytes.length;
    }
    return this.#run.subarray(0, length);
  }

  wipe(): void {
    this.#run.fill(0);
  }
}
