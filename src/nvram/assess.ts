/**
 * What is on a disk: the rules by which a store is opened. They tell a store that was torn by a
 * power cut (fall back to the last acknowledged state, and say so) from one that is damaged (refuse):
 *
 * - The mark says up to which generation stores were acknowledged. It is one sector, which lands
 *   whole or not at all, so a mark that does not verify is damage and never a tear.
 * - A generation that the mark covers must be there, complete. A newer one that is incomplete was
 *   cut off before anybody was told that it is stored.
 * - A mark that says "clean" was flushed when nothing else was under way. Whatever is wrong then is
 *   damage.
 *
 * docs/on-disk.md has the same rules as a table.
 * @module
 */
import { equal } from '../wire/codec.js';
import { misplaced } from './extents.js';
import {
  AREA_BYTES_MIN,
  type Directory,
  type Entry,
  type Found,
  HALF_BYTES,
  isBlank,
  MARK_OFFSET,
  type Mark,
  PAGE_BYTES,
  readDirectory,
  readMark,
  SECTOR_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
  sha256,
} from './layout.js';

/** How much of a disk must be zeros before it counts as empty. */
const BLANK_BYTES = 16 * 1024 * 1024;

/** What reading needs of a disk. */
export interface Readable {
  readonly length: number;
  read(offset: number, length: number): Uint8Array;
}

export type Verdict = 'OK' | 'EMPTY' | 'CORRUPT' | 'REVISION' | 'TOO_SMALL';

/** A stretch of the disk that the store occupies. */
export interface Region {
  readonly what: string;
  readonly offset: number;
  readonly length: number;
}

/** The state that a store is in, once it is sure that it is in one. */
export interface StoreState {
  readonly slot: SlotIndex;
  readonly directory: Directory;
  /**
   * The first sector of both slots as they are on the disk. Their digests are in it, so a later look
   * at it tells whether anybody has written since.
   */
  readonly heads: readonly [Uint8Array, Uint8Array];
  readonly mark: Mark | undefined;
  /** The blobs of the generation before, in the other slot. */
  readonly older: readonly Entry[];
}

export interface Assessment {
  readonly verdict: Verdict;
  /** What is wrong, as sentences with offsets. Empty for OK and EMPTY. */
  readonly findings: readonly string[];
  /** What was noticed and is no fault: a torn store that was dropped. */
  readonly notes: readonly string[];
  /** Whether the older generation is in order too, as it is after every store that was not cut off. */
  readonly intact: boolean;
  /** Present for OK, and for EMPTY where the disk is formatted. */
  readonly state: StoreState | undefined;
  readonly revision: number | undefined;
  readonly regions: readonly Region[];
}

interface Slot {
  readonly index: SlotIndex;
  readonly page: Uint8Array;
  readonly found: Found<Directory>;
  /** What keeps the generation of this slot from being used: empty if it is complete. */
  readonly damage: readonly string[];
}

/** Reads and judges everything; writes nothing. Errors of the disk itself pass through. */
export function assess(disk: Readable): Assessment {
  if (disk.length < AREA_BYTES_MIN) {
    const need = `a store takes at least ${AREA_BYTES_MIN} bytes, the disk has ${disk.length}`;
    return verdict('TOO_SMALL', [need]);
  }
  const slots = [examineSlot(disk, 0), examineSlot(disk, 1)] as const;
  const mark = readMark(disk.read(MARK_OFFSET, SECTOR_BYTES));
  const regions = regionsOf(slots);

  const newer = [slots[0].found, slots[1].found, mark].find(found => found.is === 'newer');
  if (newer?.is === 'newer') {
    const why = `the store has revision ${newer.revision}, which this version does not know`;
    return { ...verdict('REVISION', [why]), revision: newer.revision, regions };
  }
  if ([slots[0].found, slots[1].found, mark].every(found => found.is === 'blank')) {
    return assessUnformatted(disk);
  }
  const state = choose(slots, mark);
  if (state.findings.length > 0 || state.newest === undefined) {
    return { ...verdict('CORRUPT', [...state.findings, ...state.damage]), revision: 1, regions };
  }
  const { directory, index } = state.newest;
  if (directory.areaLength > disk.length) {
    const why = `the store takes ${directory.areaLength} bytes, the disk has ${disk.length}`;
    return { ...verdict('TOO_SMALL', [why]), revision: 1, regions };
  }
  return {
    verdict: directory.born === 0 ? 'EMPTY' : 'OK',
    findings: [],
    notes: state.notes,
    intact: state.damage.length === 0,
    state: {
      slot: index,
      directory,
      heads: [headOf(slots[0].page), headOf(slots[1].page)],
      mark: mark.is === 'sound' ? mark.value : undefined,
      older: entriesOf(slots[index === 0 ? 1 : 0]),
    },
    revision: 1,
    regions,
  };
}

const entriesOf = ({ found }: Slot): readonly Entry[] =>
  found.is === 'sound' ? found.value.entries : [];

/** What of a slot is looked at again before every store. */
export const headOf = (page: Uint8Array): Uint8Array => page.slice(0, SECTOR_BYTES);

const verdict = (code: Verdict, findings: readonly string[]): Assessment => ({
  verdict: code,
  findings,
  notes: [],
  intact: false,
  state: undefined,
  revision: undefined,
  regions: [],
});

/** Neither directory nor mark: EMPTY if it can be proven, that is, if there is nothing else either. */
function assessUnformatted(disk: Readable): Assessment {
  const span = Math.min(disk.length, BLANK_BYTES);
  for (let at = 0; at < span; at += HALF_BYTES) {
    if (!isBlank(disk.read(at, Math.min(HALF_BYTES, span - at)))) {
      const why = `there is no directory and no mark, yet there are data after offset ${at}`;
      return verdict('CORRUPT', [`${why}: a store that lost its head, or no store at all`]);
    }
  }
  return verdict('EMPTY', []);
}

function examineSlot(disk: Readable, index: SlotIndex): Slot {
  const page = disk.read(SLOT_OFFSETS[index], PAGE_BYTES);
  const found = readDirectory(page);
  const where = `directory slot ${index} at offset ${SLOT_OFFSETS[index]}`;
  if (found.is === 'broken') return { index, page, found, damage: [`${where}: ${found.why}`] };
  if (found.is !== 'sound') return { index, page, found, damage: [] };

  const lost = misplaced(found.value).map(why => `${where}: ${why}`);
  if (lost.length > 0) {
    return { index, page, found: { is: 'broken', why: lost.join(', ') }, damage: lost };
  }
  return { index, page, found, damage: damagedBlobs(disk, found.value) };
}

/** The blobs of a directory that are not what its digests say. */
function damagedBlobs(disk: Readable, directory: Directory): string[] {
  return directory.entries.flatMap(({ name, offset, length, digest }) => {
    const where = `blob ${name} of generation ${directory.generation} at offset ${offset}`;
    if (offset + length > disk.length) return [`${where} lies past the end of the disk`];
    const sound = equal(sha256(disk.read(offset, length)), digest);
    return sound ? [] : [`${where}, ${length} bytes: its digest is wrong`];
  });
}

interface Choice {
  readonly newest: { readonly index: SlotIndex; readonly directory: Directory } | undefined;
  /** Rules that are broken. */
  readonly findings: readonly string[];
  /** Damage that explains them. */
  readonly damage: readonly string[];
  readonly notes: readonly string[];
}

/** Which slot holds the state, or why none can be trusted. */
function choose(slots: readonly [Slot, Slot], found: Found<Mark>): Choice {
  const damage = slots.flatMap(slot => slot.damage);
  const refused = (...findings: string[]): Choice => ({
    newest: undefined,
    findings,
    damage,
    notes: [],
  });
  if (found.is === 'broken') {
    return refused(`the acknowledged mark at offset ${MARK_OFFSET}: ${found.why}`);
  }
  const mark = found.is === 'sound' ? found.value : undefined;
  const acknowledged = mark?.generation ?? 0;

  const complete = slots
    .flatMap(({ index, found, damage }) =>
      found.is === 'sound' && damage.length === 0 ? [{ index, directory: found.value }] : [],
    )
    .sort((a, b) => b.directory.generation - a.directory.generation);
  const newest = complete[0];
  if (newest === undefined) return refused('no generation of the store is complete');

  const other = slots[newest.index === 0 ? 1 : 0];
  const facts: Facts = { mark, acknowledged, newest: newest.directory, other, older: complete[1] };
  const findings = Object.entries(RULES)
    .filter(([, holds]) => !holds(facts))
    .map(([rule]) => `not so: ${rule} (newest ${newest.directory.generation})`);
  const torn = other.damage.length > 0;
  return {
    newest,
    findings,
    damage,
    notes: torn ? ['a store was cut off before it was acknowledged; it is dropped'] : [],
  };
}

interface Facts {
  readonly mark: Mark | undefined;
  readonly acknowledged: number;
  readonly newest: Directory;
  readonly other: Slot;
  readonly older: { readonly directory: Directory } | undefined;
}

const closed = ({ mark }: Facts): boolean => mark !== undefined && mark.state !== 'open';

/** What holds of every store that is sound, whenever its power was cut. */
// biome-ignore format: table
const RULES: Readonly<Record<string, (f: Facts) => boolean>> = {
  'every acknowledged generation is there':
    f => f.newest.generation >= f.acknowledged,
  'the mark is at most two generations behind':
    f => f.newest.generation <= f.acknowledged + 2,
  'both slots belong to one store':
    f => f.other.found.is !== 'sound' || equal(f.other.found.value.uuid, f.newest.uuid),
  'the mark belongs to this store':
    f => f.mark === undefined || equal(f.mark.uuid, f.newest.uuid),
  'a slot is blank only before the second generation':
    f => f.other.found.is !== 'blank' || f.newest.generation === 1,
  'the complete slots hold consecutive generations':
    f => f.older === undefined || f.older.directory.generation === f.newest.generation - 1,
  'an incomplete newer slot is the very next generation':
    f => f.other.found.is !== 'sound' || f.other.found.value.generation <= f.newest.generation + 1,
  'epochs never go back':
    f => (f.older?.directory.epoch ?? 0) <= f.newest.epoch && (f.mark?.epoch ?? 0) <= f.newest.epoch,
  'a store that was closed in order is undamaged':
    f => !closed(f) || (f.other.damage.length === 0 && f.newest.generation === f.acknowledged),
};

function regionsOf(slots: readonly [Slot, Slot]): Region[] {
  const blobs = slots.flatMap(({ found, index }) =>
    found.is !== 'sound'
      ? []
      : found.value.entries.map(({ name, offset, length, until }) => ({
          what: `${name}${until === 0 ? '' : ` until ${until}`} (directory ${index})`,
          offset,
          length,
        })),
  );
  return [
    { what: 'directory 0', offset: SLOT_OFFSETS[0], length: PAGE_BYTES },
    { what: 'directory 1', offset: SLOT_OFFSETS[1], length: PAGE_BYTES },
    { what: 'mark', offset: MARK_OFFSET, length: SECTOR_BYTES },
    ...blobs,
  ];
}
