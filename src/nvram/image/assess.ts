/**
 * What is on a disk: the rules by which a store is opened. They tell a store that was torn by a
 * power cut (fall back to the last acknowledged state, and say so) from one that is damaged (refuse):
 *
 * - The acknowledgement record says up to which generation stores were acknowledged. It is one
 *   sector, which lands whole or not at all, so a record that does not verify is damage and never torn.
 * - A generation that the record covers must be there, complete. A newer one that is incomplete was
 *   cut off before the store returned.
 * - A record that says "clean" was flushed when nothing else was pending. Any fault under it is
 *   damage.
 * - A directory whose digest is right and whose MAC is wrong landed whole, so it is a forgery and never
 *   torn.
 *
 * docs/on-disk.md has the same rules as a table.
 * @module
 */
import { equal } from '../../wire/codec.js';
import type { Keys } from './keyring.js';
import {
  ACK_RECORD_OFFSET,
  type AckRecord,
  AREA_BYTES_MIN,
  type Directory,
  type Encryption,
  type Entry,
  PAGE_BYTES,
  REVISION,
  SECTOR_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
} from './layout.js';
import { type Parsed, readAckRecord } from './pages.js';
import { entriesOf, examineSlot, headOf, type Readable, type Slot } from './slots.js';

/** A stretch of the disk that the store occupies. */
export interface Region {
  readonly what: string;
  readonly offset: number;
  readonly length: number;
}

/** The state of a store that can be used. */
export interface StoreState {
  readonly slot: SlotIndex;
  readonly directory: Directory;
  /**
   * The first sector of both slots as they are on the disk. Their digests are in it, so reading it
   * again shows whether another instance has written since.
   */
  readonly heads: readonly [Uint8Array, Uint8Array];
  readonly ackRecord: AckRecord | undefined;
  /** The blobs of the generation before, in the other slot. */
  readonly older: readonly Entry[];
}

export type AssessedVerdict = 'OK' | 'EMPTY' | 'CORRUPT' | 'REVISION' | 'TOO_SMALL';

export interface Assessment {
  /** EMPTY: a store without a blob, or (without a state) slots and record that are all zeros. */
  readonly verdict: AssessedVerdict;
  /** What is wrong, as sentences with offsets. Empty for OK and EMPTY. */
  readonly findings: readonly string[];
  /** Observations that are not faults: a torn store that was discarded. */
  readonly notes: readonly string[];
  /** Whether the older generation is undamaged too, as it is after every store that was not cut off. */
  readonly intact: boolean;
  /** Present for OK, and for EMPTY where the disk is formatted. */
  readonly state: StoreState | undefined;
  readonly revision: number | undefined;
  readonly regions: readonly Region[];
}

/**
 * Validates slots, blobs and record; writes nothing. Reads at most two areas, one blob at a
 * time. Errors of the disk itself pass through.
 */
export function assess(disk: Readable, keys: Keys): Assessment {
  if (disk.length < AREA_BYTES_MIN) {
    const need = `a store takes at least ${AREA_BYTES_MIN} bytes, the disk has ${disk.length}`;
    return verdict('TOO_SMALL', [need]);
  }
  const digests = new Map<string, Uint8Array>();
  const slots = [examineSlot(disk, 0, keys, digests), examineSlot(disk, 1, keys, digests)] as const;
  const record = readAckRecord(disk.read(ACK_RECORD_OFFSET, SECTOR_BYTES));
  const parsed = [slots[0].parsed, slots[1].parsed, record];
  const regions = regionsOf(slots);

  const other = parsed.find(each => each.is === 'other revision');
  if (other?.is === 'other revision') {
    const { revision } = other;
    return { ...verdict('REVISION', [otherRevision(revision)]), revision, regions };
  }
  if (parsed.every(each => each.is === 'blank')) return verdict('EMPTY', []);
  const known = { revision: REVISION, regions };
  const choice = choose(slots, record);
  if (choice.findings.length > 0 || choice.newest === undefined) {
    return { ...verdict('CORRUPT', [...choice.findings, ...choice.damage]), ...known };
  }
  const { directory, index } = choice.newest;
  if (directory.areaLength > disk.length) {
    const why = `the store takes ${directory.areaLength} bytes, the disk has ${disk.length}`;
    return { ...verdict('TOO_SMALL', [why]), ...known };
  }
  const state: StoreState = {
    slot: index,
    directory,
    heads: [headOf(slots[0].page), headOf(slots[1].page)],
    ackRecord: record.is === 'sound' ? record.value : undefined,
    older: entriesOf(slots[index === 0 ? 1 : 0]),
  };
  return {
    verdict: directory.firstBlobGeneration === 0 ? 'EMPTY' : 'OK',
    findings: [],
    notes: choice.notes,
    intact: choice.damage.length === 0,
    state,
    ...known,
  };
}

function otherRevision(revision: number): string {
  const about =
    revision === 1 ? 'revision 1, a format from before the first release' : `revision ${revision}`;
  return `the store has ${about}; this version reads revision ${REVISION}`;
}

const verdict = (code: AssessedVerdict, findings: readonly string[]): Assessment => ({
  verdict: code,
  findings,
  notes: [],
  intact: false,
  state: undefined,
  revision: undefined,
  regions: [],
});

interface Choice {
  readonly newest: { readonly index: SlotIndex; readonly directory: Directory } | undefined;
  /** Rules that are broken. */
  readonly findings: readonly string[];
  /** Damage that explains them. */
  readonly damage: readonly string[];
  readonly notes: readonly string[];
}

/** Which slot holds the state, or why none can be trusted. */
function choose(slots: readonly [Slot, Slot], parsed: Parsed<AckRecord>): Choice {
  const damage = slots.flatMap(slot => slot.damage);
  const none = (why: string): Choice => ({ newest: undefined, findings: [why], damage, notes: [] });
  if (parsed.is === 'broken') {
    return none(`the acknowledgement record at offset ${ACK_RECORD_OFFSET}: ${parsed.why}`);
  }
  const ackRecord = parsed.is === 'sound' ? parsed.value : undefined;
  const complete = slots
    .flatMap(({ index, parsed, damage }) =>
      parsed.is === 'sound' && damage.length === 0 ? [{ index, directory: parsed.value }] : [],
    )
    .sort((a, b) => b.directory.generation - a.directory.generation);
  const newest = complete[0];
  if (newest === undefined) return none('no generation of the store is complete');

  const other = slots[newest.index === 0 ? 1 : 0];
  const facts: Facts = {
    ackRecord,
    acknowledged: ackRecord?.generation ?? 0,
    newest: newest.directory,
    other,
    older: complete[1]?.directory,
  };
  const findings = Object.entries(RULES)
    .filter(([, holds]) => !holds(facts))
    .map(([rule]) => `not so: ${rule} (newest ${newest.directory.generation})`);
  const isTorn = other.damage.length > 0;
  return {
    newest,
    findings,
    damage,
    notes: isTorn ? ['a store was cut off before it was acknowledged; it is dropped'] : [],
  };
}

interface Facts {
  readonly ackRecord: AckRecord | undefined;
  readonly acknowledged: number;
  readonly newest: Directory;
  readonly other: Slot;
  readonly older: Directory | undefined;
}

const isClosed = ({ ackRecord }: Facts): boolean =>
  ackRecord !== undefined && ackRecord.state !== 'open';

/** The invariants of every sound store, whenever its power was cut. */
// biome-ignore format: table
const RULES: Readonly<Record<string, (f: Facts) => boolean>> = {
  'every acknowledged generation is there':
    f => f.newest.generation >= f.acknowledged,
  'the acknowledgement record is at most two generations behind':
    f => f.newest.generation <= f.acknowledged + 2,
  'both slots belong to one store':
    f => f.other.parsed.is !== 'sound' || equal(f.other.parsed.value.uuid, f.newest.uuid),
  'the acknowledgement record belongs to this store':
    f => f.ackRecord === undefined || equal(f.ackRecord.uuid, f.newest.uuid),
  'a slot is blank only before the second generation':
    f => f.other.parsed.is !== 'blank' || f.newest.generation === 1,
  'the complete slots hold consecutive generations':
    f => f.older === undefined || f.older.generation === f.newest.generation - 1,
  'an incomplete newer slot is the very next generation':
    f => f.other.parsed.is !== 'sound' || f.other.parsed.value.generation <= f.newest.generation + 1,
  'epochs never go back':
    f => (f.older?.epoch ?? 0) <= f.newest.epoch && (f.ackRecord?.epoch ?? 0) <= f.newest.epoch,
  'both generations are under one key, unless a change of the key is to be completed':
    f => f.older === undefined || f.newest.unscrubbed || isOneKey(f.older.encryption, f.newest.encryption),
  'every directory with a right digest has the MAC of the key':
    f => !f.other.isForged,
  'a store that was closed in order is undamaged':
    f => !isClosed(f) || (f.other.damage.length === 0 && f.newest.generation === f.acknowledged),
};

const isOneKey = (a: Encryption, b: Encryption): boolean =>
  a.kind === b.kind && equal(a.check, b.check) && equal(a.checkNonce, b.checkNonce);

function regionsOf(slots: readonly [Slot, Slot]): Region[] {
  const blobs = slots.flatMap(slot =>
    entriesOf(slot).map(({ name, offset, length, lastGeneration }) => ({
      what: `${name}${lastGeneration === 0 ? '' : ` until ${lastGeneration}`} (directory ${slot.index})`,
      offset,
      length,
    })),
  );
  return [
    { what: 'directory 0', offset: SLOT_OFFSETS[0], length: PAGE_BYTES },
    { what: 'directory 1', offset: SLOT_OFFSETS[1], length: PAGE_BYTES },
    { what: 'acknowledgement record', offset: ACK_RECORD_OFFSET, length: SECTOR_BYTES },
    ...blobs,
  ];
}
