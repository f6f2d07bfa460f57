/**
 * Goal: whatever write or flush fails while the store is active, nothing acknowledged is lost, and
 * what a failed flush left behind is not taken for durable.
 * Method: every write and every flush of a cycle fails once, with ENOSPC and with EIO; then the next
 * instance starts, on the same disk and after a power cut, and the power is cut once more after it.
 */
import test from 'ava';
import {
  activated,
  blob,
  contents,
  format,
  formatted,
  inspected,
  KEY,
  opened,
  platter,
} from '../../lab/store/stores.js';
import { IoError } from '../../src/errors.js';
import { ACK_RECORD_OFFSET, SLOT_OFFSETS } from '../../src/nvram/image/layout.js';
import { encodeAckRecord, readDirectory } from '../../src/nvram/image/pages.js';
import { SimulatedDisk } from '../../src/testing/index.js';

const OLD = '700 × 2';
const NEW = '900 × 3';

function used(key?: typeof KEY): Uint8Array {
  const disk = formatted(key === undefined ? {} : { key });
  const store = activated(disk, { key });
  store.store('permall', blob(700, 1));
  store.store('permall', blob(700, 2));
  disk.flush();
  return platter(disk);
}

interface Outcome {
  readonly step: number;
  readonly acknowledged: string;
  /** What the next instance found, and what was there after the power was cut on it. */
  readonly next: string;
  readonly later: readonly string[];
}

/** Fails each step of a store in turn, until a store meets no failure. */
function everyFailure(errno: string, Disk = SimulatedDisk, key?: typeof KEY): Outcome[] {
  const options = { key };
  const outcomes: Outcome[] = [];
  for (let step = 0; ; step += 1) {
    const disk = new Disk(used(key));
    const store = activated(disk, options);
    disk.failAfter(step, () => new IoError('write', disk.path, { code: errno }));
    const stored = succeeds(() => store.store('permall', blob(900, 3)));
    if (!stored && succeeds(() => store.store('permall', blob(10, 4)))) {
      throw new Error('a store was taken after one that failed');
    }
    disk.clearAccidents();
    // The page cache still shows what the failed flush has lost.
    const next = opened(disk, key);
    const later = new Set<string>();
    for (const wreck of disk.wreckages(300)) later.add(opened(new SimulatedDisk(wreck), key));
    outcomes.push({ step, acknowledged: stored ? NEW : OLD, next, later: [...later] });
    if (stored && step > 6) return outcomes;
  }
}

function succeeds(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof IoError) return false;
    throw error;
  }
}

/** What must not be: an acknowledged store that is gone, or a state that was seen and is gone. */
const wrong = (outcomes: readonly Outcome[]): Outcome[] =>
  outcomes.filter(
    ({ acknowledged, next, later }) =>
      ![OLD, NEW].includes(next) ||
      (acknowledged === NEW && next !== NEW) ||
      later.length !== 1 ||
      later[0] !== next,
  );

for (const errno of ['ENOSPC', 'EIO']) {
  for (const key of [undefined, KEY]) {
    test(`${errno} at every write and flush of a store${key ? ', encrypted' : ''}`, t => {
      const outcomes = everyFailure(errno, SimulatedDisk, key);
      t.true(outcomes.filter(({ acknowledged }) => acknowledged === OLD).length >= 3);
      t.deepEqual(wrong(outcomes), []);
    });
  }
}

test('twin: an instance that builds on a generation that was never acknowledged is noticed', t => {
  // A disk whose record always covers the newest generation makes every generation look acknowledged.
  class Boastful extends SimulatedDisk {
    override read(offset: number, length: number): Uint8Array {
      const bytes = super.read(offset, length);
      if (offset !== ACK_RECORD_OFFSET || bytes[0] === 0) return bytes;
      const found = SLOT_OFFSETS.map(slot => readDirectory(super.read(slot, 4096))).flatMap(slot =>
        slot.is === 'sound' ? [slot.value] : [],
      );
      const { uuid, generation, epoch } = found.sort((a, b) => b.generation - a.generation)[0]!;
      return encodeAckRecord({ state: 'open', uuid, generation, epoch });
    }
  }
  t.true(wrong(everyFailure('EIO', Boastful)).length > 0);
});

test('a disk that shrank or lost its directories is refused, and nothing is written', t => {
  const disk = new SimulatedDisk(used());
  const store = activated(disk);
  for (const offset of SLOT_OFFSETS) disk.write(offset, new Uint8Array(4096));
  const before = platter(disk);
  t.throws(() => store.store('permall', blob(10, 1)), { code: 'CORRUPT' });
  t.deepEqual(platter(disk), before);
  t.is(contents(disk), 'CORRUPT');
});

test('a write that lands elsewhere is never read as something that was not stored', t => {
  // Into both slots, both halves, the record, and the pool, at their starts and inside.
  const targets = [0, 512, 4096, 65536, 69632, 131072, 135168, 139264];
  const counts: Record<string, number> = {};
  for (const target of targets) {
    for (let step = 0; step < 5; step += 1) {
      const disk = new SimulatedDisk(used());
      const store = activated(disk);
      disk.misdirectAfter(step, target);
      let stored = 0;
      const outcome = attempt(() => {
        for (const fill of [3, 4]) {
          store.store('permall', blob(900, fill));
          stored = fill;
        }
      });
      const notes = inspected(disk).notes.join();
      const now = opened(new SimulatedDisk(platter(disk)));
      // The record over the newest directory is the one case that looks like a power cut, and says so.
      if (/cut off/.test(notes)) {
        counts['dropped with a note'] = (counts['dropped with a note'] ?? 0) + 1;
        continue;
      }
      const good = stored === 0 ? [OLD, NEW] : [`900 × ${stored}`, `900 × ${stored + 1}`];
      if (![...good, 'CORRUPT'].includes(now))
        t.fail(`step ${step} to ${target}: ${outcome}, ${now}`);
      counts[`${outcome}, then ${now}`] = (counts[`${outcome}, then ${now}`] ?? 0) + 1;
    }
  }
  t.log(counts);
  t.true(Object.keys(counts).some(each => each.endsWith('CORRUPT')));
});

function attempt(act: () => void): string {
  try {
    act();
    return 'stored';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

test('a sector that cannot be read is an error of the disk, and of nothing else', t => {
  const disk = new SimulatedDisk(used());
  const before = platter(disk);
  for (const { what, offset, length } of inspected(disk).regions) {
    const failing = new SimulatedDisk(before);
    failing.failReads(offset + length - 1, 1);
    t.throws(() => inspected(failing), { code: 'IO' }, what);
    t.throws(() => activated(failing), { code: 'IO' }, what);
    t.throws(() => format(failing), { code: 'IO' }, what);
    t.is(failing.steps, 0, 'nothing was written');
  }
  const blank = new SimulatedDisk(before.length);
  blank.failReads(before.length - 512, 512);
  t.throws(() => format(blank), { code: 'IO' });
});

test('a read that fails while the store is active stores nothing, and leaves it usable', t => {
  const disk = new SimulatedDisk(used());
  const store = activated(disk);
  for (const offset of SLOT_OFFSETS) {
    const head = disk.read(offset, 512);
    disk.failReads(offset, 1);
    const { steps } = disk;
    t.throws(() => store.store('permall', blob(900, 3)), { code: 'IO' });
    t.is(disk.steps, steps);
    disk.write(offset, head);
  }
  store.store('permall', blob(900, 3));
  t.is(opened(disk), NEW);
});

test('a short write at any step leaves old or new', t => {
  for (const bytes of [0, 1, 512, 4096, 4608]) {
    for (let step = 0, stored = false; !stored; step += 1) {
      const disk = new SimulatedDisk(used());
      const store = activated(disk);
      disk.shortWriteAfter(step, bytes);
      stored = succeeds(() => store.store('permall', blob(900, 3)));
      const found = opened(new SimulatedDisk(platter(disk)));
      if (stored ? found !== NEW : ![OLD, NEW].includes(found))
        t.fail(`${bytes}, ${step}: ${found}`);
    }
  }
  t.pass();
});
