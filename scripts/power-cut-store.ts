/**
 * `node dist/scripts/power-cut-store.js [limit]`: every power cut of every kind of commit, with every
 * landing of the unflushed sectors where there are at most `limit` (100,000) of them, and all, none,
 * each alone and each alone missing where there are more; then every flipped bit of a store that was
 * closed in order, plain and encrypted. Prints what was found, and fails if anything was lost.
 * @module
 */
import { withLock } from '../src/block/index.js';
import {
  type ActiveStore,
  AREA_BYTES_MIN,
  type FormatOptions,
  formatStore,
  type Inspection,
  inspectStore,
  type Key,
  NvramError,
  openStore,
  repairStore,
} from '../src/nvram/index.js';
import { everyFlip, everyPowerCut, SimulatedDisk } from '../src/testing/index.js';

const limit = Number(process.argv[2] ?? 100_000);
const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(0x42);
const KEY: Key = { kind: 'key', bytes: new Uint8Array(32).fill(1) };
const OTHER: Key = { kind: 'key', bytes: new Uint8Array(32).fill(2) };
const blob = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);
const platter = (disk: SimulatedDisk): Uint8Array => disk.read(0, disk.length);

const format = (disk: SimulatedDisk, more: Partial<FormatOptions> = {}): void =>
  withLock(disk, undefined, locked =>
    formatStore(locked, { entropy, areaLength: AREA_BYTES_MIN, ...more }),
  );
const activated = (disk: SimulatedDisk, key?: Key): ActiveStore =>
  withLock(disk, undefined, locked => openStore(locked, { entropy, key }).activate());
const inspected = (disk: SimulatedDisk): Inspection =>
  withLock(disk, undefined, locked => inspectStore(locked));

/** What is found without a key: the verdict, and what the current permall is, by its digest. */
function state(disk: SimulatedDisk, keys: readonly (Key | undefined)[]): string {
  const { verdict } = inspected(disk);
  if (verdict !== 'OK') return verdict;
  for (const key of keys) {
    try {
      const copy = new SimulatedDisk(platter(disk));
      const bytes = activated(copy, key).load('permall');
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
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  format(disk, { historyLength: 1, key });
  const store = activated(disk, key);
  store.store('permall', blob(600, 1));
  store.store('permall', blob(600, 2));
  store.close();
  return disk;
}
const blank = (): SimulatedDisk => {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  format(disk);
  return disk;
};
const OLD = '600 x 2';
const on = (act: (store: ActiveStore) => void, key?: Key) => (disk: SimulatedDisk) =>
  act(activated(disk, key));
const repair = (disk: SimulatedDisk): boolean =>
  withLock(disk, undefined, locked => repairStore(locked, { entropy }));
const kept = (store: ActiveStore): number => store.kept[0]!;

// biome-ignore format: table
const SCENARIOS: readonly Scenario[] = [
  { name: 'format',        before: () => new SimulatedDisk(AREA_BYTES_MIN), old: 'EMPTY', now: 'EMPTY',
    act: disk => format(disk) },
  { name: 'first store',   before: blank, old: 'EMPTY', now: '900 x 3', act: on(store => store.store('permall', blob(900, 3))) },
  { name: 'same size',     before: () => used(), old: OLD, now: '600 x 3', act: on(store => store.store('permall', blob(600, 3))) },
  { name: 'growing',       before: () => used(), old: OLD, now: '3000 x 3', act: on(store => store.store('permall', blob(3000, 3))) },
  { name: 'shrinking',     before: () => used(), old: OLD, now: '100 x 3', act: on(store => store.store('permall', blob(100, 3))) },
  { name: 'delete',        before: () => used(), old: OLD, now: 'none', act: on(store => store.delete('permall')) },
  { name: 'restore',       before: () => used(), old: OLD, now: '600 x 1', act: on(store => store.restore(kept(store))) },
  { name: 'encrypted store', before: () => used(KEY), old: OLD, now: '600 x 3', act: on(store => store.store('permall', blob(600, 3)), KEY) },
  { name: 'add a key',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.rekey(KEY)) },
  { name: 'change a key',  before: () => used(KEY), old: OLD, now: OLD, act: on(store => void store.rekey(OTHER), KEY) },
  { name: 'remove a key',  before: () => used(KEY), old: OLD, now: OLD, act: on(store => void store.rekey(undefined), KEY) },
  { name: 'clean close',   before: () => used(), old: OLD, now: OLD, act: on(store => store.close()) },
  { name: 'hand over',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.handOver()) },
  { name: 'take back',     before: () => used(), old: OLD, now: OLD, act: on(store => void store.handOver().resume()) },
  { name: 'repair',        before: () => used(), old: OLD, now: OLD, act: disk => { on(() => {})(disk); repair(disk); } },
];

let faults = 0;
console.log(
  '| what | cuts | old | new | refused | lost |\n| --- | ---: | ---: | ---: | ---: | ---: |',
);
for (const { name, before, act, old, now } of SCENARIOS) {
  const counts = { cuts: 0, old: 0, new: 0, refused: 0, lost: 0 };
  for (const { finished, disk } of everyPowerCut(platter(before()), act, { limit })) {
    counts.cuts += 1;
    const found = state(disk, [undefined, KEY, OTHER]);
    if (found === now) counts.new += 1;
    else if (found === old && !finished) counts.old += 1;
    else if (found === 'CORRUPT') counts.refused += 1;
    else counts.lost += 1;
  }
  faults += counts.lost + counts.refused;
  console.log(`| ${name} | ${Object.values(counts).join(' | ')} |`);
}

console.log('\n| flips | bits | refused | accepted |\n| --- | ---: | ---: | ---: |');
for (const [name, key] of [
  ['plain', undefined],
  ['encrypted', KEY],
] as const) {
  const disk = used(key);
  const counts = { bits: 0, refused: 0, accepted: 0 };
  for (const { offset, length } of inspected(disk).regions) {
    for (const { bytes } of everyFlip(platter(disk), { offset, length })) {
      counts.bits += 1;
      if (inspected(new SimulatedDisk(bytes)).verdict === 'CORRUPT') counts.refused += 1;
      else counts.accepted += 1;
    }
  }
  faults += counts.accepted;
  console.log(`| ${name} | ${Object.values(counts).join(' | ')} |`);
}
process.exitCode = faults === 0 ? 0 : 1;
