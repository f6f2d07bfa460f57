/**
 * Goal: whenever the power goes during a cycle of the store, what is found afterwards is the old
 * state or the new one, and the new one for certain once the store had returned.
 * Method: cut before every write and flush, and for each cut try every way in which the unflushed
 * sectors can land (everyPowerCut). The twins break the protocol and must be noticed.
 * @long
 */
import test from 'ava';
import {
  activated,
  blob,
  contents,
  format,
  formatted,
  inspected,
  platter,
  wellUsed,
} from '../../lab/store/stores.js';
import { ACK_RECORD_OFFSET, PAGE_BYTES, SLOT_OFFSETS } from '../../src/nvram/image/layout.js';
import { encodeAckRecord, encodeDirectory, sha256 } from '../../src/nvram/image/pages.js';
import { type ActiveStore, AREA_BYTES_MIN } from '../../src/nvram/index.js';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';

interface Tally {
  readonly [found: string]: number;
}

/** What is found after every power cut during `act`: by contents, and before or after it returned. */
function tally(
  before: SimulatedDisk,
  act: (disk: SimulatedDisk) => void,
  Disk = SimulatedDisk,
): { cut: Tally; finished: Tally } {
  const counts = { cut: {} as Record<string, number>, finished: {} as Record<string, number> };
  for (const { finished, disk } of everyPowerCut(platter(before), act, { Disk, limit: 5_000 })) {
    const found = contents(disk);
    const row = finished ? counts.finished : counts.cut;
    row[found] = (row[found] ?? 0) + 1;
  }
  return counts;
}

const used = (): SimulatedDisk => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(700, 1));
  store.store('permall', blob(700, 2));
  disk.flush();
  return disk;
};
const OLD = 'OK: 700 × 2';
const NEW = 'OK: 900 × 3';
const storeNew = (disk: SimulatedDisk): void => {
  activated(disk).store('permall', blob(900, 3));
};

test('a store that is cut short leaves the old blob or the new one; a finished one has stored', t => {
  const { cut, finished } = tally(used(), storeNew);
  t.deepEqual(Object.keys(cut).sort(), [OLD, NEW].sort());
  t.deepEqual(Object.keys(finished), [NEW]);
  t.log(`cut short: ${JSON.stringify(cut)}, finished: ${JSON.stringify(finished)}`);
});

test('formatting that is cut short leaves an empty disk, never a damaged one', t => {
  const { cut, finished } = tally(new SimulatedDisk(AREA_BYTES_MIN), disk =>
    format(disk, { areaLength: AREA_BYTES_MIN }),
  );
  t.deepEqual(Object.keys(cut).sort(), ['EMPTY', 'EMPTY: none']);
  t.deepEqual(Object.keys(finished), ['EMPTY: none']);
});

test('the first store of all that is cut short leaves nothing or the blob', t => {
  const { cut, finished } = tally(formatted(), storeNew);
  t.deepEqual(Object.keys(cut).sort(), ['EMPTY: none', NEW].sort());
  t.deepEqual(Object.keys(finished), [NEW]);
});

test('a clean close, a power on and a hand-over that are cut short keep the state', t => {
  const acts: ((disk: SimulatedDisk) => void)[] = [
    disk => activated(disk).close(),
    disk => activated(disk).handOver(),
    disk => {
      activated(disk).handOver().resume();
    },
  ];
  for (const act of acts) {
    for (const before of [used(), wellUsed()]) {
      const { cut, finished } = tally(before, act);
      t.deepEqual(Object.keys({ ...cut, ...finished }), [contents(before)]);
    }
  }
});

test('every store of a session survives a power cut at any later moment', t => {
  // Three blobs of several sizes, grown, shrunk and deleted; each step is acknowledged or not.
  const steps: ((store: ActiveStore) => void)[] = [
    store => store.store('permall', blob(100, 1)),
    store => store.store('savestate', blob(300, 2)),
    store => store.store('permall', blob(1500, 3)),
    store => store.delete('savestate'),
    store => store.store('permall', blob(50, 4)),
  ];
  const expected = [
    'EMPTY: none',
    'OK: 100 × 1',
    'OK: 100 × 1',
    'OK: 1500 × 3',
    'OK: 1500 × 3',
    'OK: 50 × 4',
  ];
  let done = 0;
  const act = (disk: SimulatedDisk): void => {
    done = 0;
    const store = activated(disk);
    for (const step of steps) {
      step(store);
      done += 1;
    }
  };
  for (const { disk } of everyPowerCut(platter(formatted()), act, { limit: 600 })) {
    const found = contents(disk);
    const allowed = [expected[done], expected[done + 1]];
    if (!allowed.includes(found)) t.fail(`after ${done} stores: ${found}`);
  }
  t.is(done, steps.length);
});

/** Whether a cut leaves something that is neither old nor new, or loses what had been stored. */
function noticed(act: (disk: SimulatedDisk) => void, Disk = SimulatedDisk): boolean {
  const { cut, finished } = tally(used(), act, Disk);
  const lost = Object.keys(finished).some(found => found !== NEW);
  return lost || Object.keys(cut).some(found => found !== OLD && found !== NEW);
}

test('twin: a disk that never flushes is noticed', t => {
  class Forgetful extends SimulatedDisk {
    override flush(): void {}
  }
  t.true(noticed(storeNew, Forgetful));
  t.false(noticed(storeNew));
});

type Step = 'blob' | 'directory' | 'barrier' | 'record';

/** A commit by hand, in the order of `steps`, into the other slot as it should be or in place. */
function commitByHand(disk: SimulatedDisk, steps: readonly Step[], inPlace = false): void {
  const { slot, directory } = inspected(disk).state!;
  const into = inPlace ? slot : 1 - slot;
  const generation = inPlace ? directory.generation : directory.generation + 1;
  const bytes = blob(900, 3);
  const offset = SLOT_OFFSETS[into]! + PAGE_BYTES;
  const digest = sha256(bytes);
  const entry = { name: 'permall', offset, length: 900, generation, lastGeneration: 0, digest };
  const { uuid, epoch } = directory;
  const page = encodeDirectory({ ...directory, generation, entries: [entry] }, undefined);
  const act: Record<Step, () => void> = {
    blob: () => disk.write(offset, bytes),
    directory: () => disk.write(SLOT_OFFSETS[into]!, page),
    barrier: () => disk.flush(),
    record: () =>
      disk.write(ACK_RECORD_OFFSET, encodeAckRecord({ state: 'open', uuid, generation, epoch })),
  };
  for (const step of steps) act[step]();
}

const IN_ORDER: Step[] = ['blob', 'directory', 'barrier', 'record'];

test('twin: a commit in place is noticed; the same one into the other slot is in order', t => {
  t.true(noticed(disk => commitByHand(disk, IN_ORDER, true)));
  t.false(noticed(disk => commitByHand(disk, IN_ORDER)));
});

test('twin: a record that is written before the barrier is noticed', t => {
  t.true(noticed(disk => commitByHand(disk, ['blob', 'directory', 'record', 'barrier'])));
});

test('twin: a reader that believes the newest directory without its digests is noticed', t => {
  /** The newest generation by its number alone, and whether its blob is of one piece. */
  const believed = (disk: SimulatedDisk): string => {
    const heads = SLOT_OFFSETS.map(offset => {
      const page = disk.read(offset, PAGE_BYTES);
      const view = new DataView(page.buffer);
      const at = 256 + 16; // The first entry's offset and length.
      const numbers = [64, at, at + 8].map(field => Number(view.getBigUint64(field)));
      return { generation: numbers[0]!, offset: numbers[1]!, length: numbers[2]! };
    });
    const { offset, length } = heads.sort((a, b) => b.generation - a.generation)[0]!;
    const bytes = disk.read(offset, length);
    return bytes.every(byte => byte === bytes[0]) ? `OK: ${length} × ${bytes[0]}` : 'a mixture';
  };
  const found = new Set<string>();
  for (const { disk } of everyPowerCut(platter(used()), storeNew, { limit: 3_000 })) {
    found.add(believed(disk));
  }
  t.true([...found].some(each => each !== OLD && each !== NEW));
});
