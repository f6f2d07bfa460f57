/**
 * Every power cut of every kind of commit, and every flipped bit of a store that was closed in order.
 * @module
 */
import { type ActiveStore, AREA_BYTES_MIN, type Key, NvramError } from '../../src/nvram/index.js';
import { everyFlip, everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import {
  activated,
  blob,
  format,
  formatted,
  inspected,
  KEY,
  OTHER_KEY,
  platter,
  repaired,
} from './stores.js';

/** What is found without a key: the verdict, and what the current permall is, by its digest. */
function state(disk: SimulatedDisk, keys: readonly (Key | undefined)[]): string {
  const { verdict } = inspected(disk);
  if (verdict !== 'OK') return verdict;
  for (const key of keys) {
    try {
      const copy = new SimulatedDisk(platter(disk));
      const bytes = activated(copy, { key }).load('permall');
      return bytes === undefined ? 'none' : `${bytes.length} x ${bytes[0]}`;
    } catch (error) {
      if (!(error instanceof NvramError) || !/KEY/.test(error.code)) throw error;
    }
  }
  return 'no key fits';
}

interface Scenario {
  readonly name: string;
  readonly before: () => SimulatedDisk;
  readonly act: (disk: SimulatedDisk) => void;
  readonly old: string;
  readonly now: string;
}

function used(key?: Key): SimulatedDisk {
  const disk = formatted({ historyLength: 1, key });
  const store = activated(disk, { key });
  store.store('permall', blob(600, 1));
  store.store('permall', blob(600, 2));
  store.close();
  return disk;
}
const OLD = '600 x 2';
const on = (act: (store: ActiveStore) => void, key?: Key) => (disk: SimulatedDisk) =>
  act(activated(disk, { key }));
const kept = (store: ActiveStore): number => store.kept[0]!;

// biome-ignore format: table
const SCENARIOS: readonly Scenario[] = [
  { name: 'format',        before: () => new SimulatedDisk(AREA_BYTES_MIN), old: 'EMPTY', now: 'EMPTY',
    act: disk => format(disk, { areaLength: AREA_BYTES_MIN }) },
  { name: 'first store',   before: () => formatted(), old: 'EMPTY', now: '900 x 3', act: on(store => store.store('permall', blob(900, 3))) },
  { name: 'same size',     before: () => used(), old: OLD, now: '600 x 3', act: on(store => store.store('permall', blob(600, 3))) },
  { name: 'growing',       before: () => used(), old: OLD, now: '3000 x 3', act: on(store => store.store('permall', blob(3000, 3))) },
  { name: 'shrinking',     before: () => used(), old: OLD, now: '100 x 3', act: on(store => store.store('permall', blob(100, 3))) },
  { name: 'delete',        before: () => used(), old: OLD, now: 'none', act: on(store => store.delete('permall')) },
  { name: 'restore',       before: () => used(), old: OLD, now: '600 x 1', act: on(store => store.restore(kept(store))) },
  { name: 'encrypted store', before: () => used(KEY), old: OLD, now: '600 x 3', act: on(store => store.store('permall', blob(600, 3)), KEY) },
  { name: 'add a key',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.rekey(KEY)) },
  { name: 'change a key',  before: () => used(KEY), old: OLD, now: OLD, act: on(store => void store.rekey(OTHER_KEY), KEY) },
  { name: 'remove a key',  before: () => used(KEY), old: OLD, now: OLD, act: on(store => void store.rekey(undefined), KEY) },
  { name: 'clean close',   before: () => used(), old: OLD, now: OLD, act: on(store => store.close()) },
  { name: 'hand over',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.handOver()) },
  { name: 'take back',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.handOver().resume()) },
  { name: 'repair',        before: () => used(), old: OLD, now: OLD, act: disk => { on(() => {})(disk); repaired(disk); } },
];

export interface Cuts {
  readonly name: string;
  readonly cuts: number;
  readonly old: number;
  readonly new: number;
  readonly refused: number;
  readonly lost: number;
}

/**
 * Cuts the power at every step of every kind of commit.
 * @param limit the most landings of unflushed sectors of one cut; where there are more, all, none, each
 *   alone and each alone missing
 */
export function* everyCommitCut(limit: number): Generator<Cuts, void, void> {
  for (const { name, before, act, old, now } of SCENARIOS) {
    const counts = { cuts: 0, old: 0, new: 0, refused: 0, lost: 0 };
    for (const { finished, disk } of everyPowerCut(platter(before()), act, { limit })) {
      counts.cuts += 1;
      const found = state(disk, [undefined, KEY, OTHER_KEY]);
      if (found === now) counts.new += 1;
      else if (found === old && !finished) counts.old += 1;
      else if (found === 'CORRUPT') counts.refused += 1;
      else counts.lost += 1;
    }
    yield { name, ...counts };
  }
}

export interface Flips {
  readonly name: string;
  readonly bits: number;
  readonly refused: number;
  readonly accepted: number;
}

/** Flips every bit of a plain store and of an encrypted one. */
export function* everyStoreFlip(): Generator<Flips, void, void> {
  for (const [name, key] of Object.entries({ plain: undefined, encrypted: KEY })) {
    const disk = used(key);
    const counts = { bits: 0, refused: 0, accepted: 0 };
    for (const { offset, length } of inspected(disk).regions) {
      for (const { bytes } of everyFlip(platter(disk), { offset, length })) {
        counts.bits += 1;
        if (inspected(new SimulatedDisk(bytes)).verdict === 'CORRUPT') counts.refused += 1;
        else counts.accepted += 1;
      }
    }
    yield { name, ...counts };
  }
}
