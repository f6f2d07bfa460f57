/**
 * Kept states, growth, limits, repair: the rest of what a store does.
 * @long
 */
import test from 'ava';
import fc from 'fast-check';
import {
  activated,
  blob,
  contents,
  format,
  formatted,
  inspected,
  opened,
  platter,
  repaired,
} from '../../lab/store/stores.js';
import { type ActiveStore, AREA_BYTES_MIN } from '../../src/nvram/index.js';
import { everyPowerCut, PowerCut, SimulatedDisk } from '../../src/testing/index.js';

test('the last states are kept, as many as asked for, and come back as new ones', t => {
  const disk = formatted({ historyLength: 3 });
  const store = activated(disk);
  for (let i = 1; i <= 6; i += 1) store.store('permall', blob(100 + i, i));
  t.is(store.kept.length, 3);
  t.deepEqual(
    [...store.kept],
    [...store.kept].sort((a, b) => b - a),
  );
  // Generation 2 is the power on; blob 1 came with generation 3, so blob i with i + 2.
  t.deepEqual([...store.kept], [7, 6, 5]);
  store.restore(6);
  t.deepEqual(store.load('permall'), blob(104, 4));
  t.deepEqual([...store.kept], [8, 7, 6]);
  store.restore(8);
  t.deepEqual(store.load('permall'), blob(106, 6));
  t.throws(() => store.restore(3), { code: 'NOT_KEPT' });
  store.store('permall', blob(10, 9));
  store.close();
  t.is(contents(disk), 'OK: 10 × 9');
});

test('an empty blob is a blob, and is kept apart from what comes after it', t => {
  const disk = formatted({ historyLength: 1 });
  const store = activated(disk);
  store.store('permall', blob(0, 0));
  store.close();
  const next = activated(disk);
  t.is(next.load('permall')?.length, 0);
  next.store('permall', blob(1, 7));
  next.close();
  t.is(contents(disk), 'OK: 1 × 7');
  t.is(inspected(disk).verdict, 'OK');
  t.deepEqual(activated(disk).load('permall'), blob(1, 7));
});

test('a kept state is of all blobs together, deleted ones too', t => {
  const disk = formatted({ historyLength: 4 });
  const store = activated(disk);
  store.store('permall', blob(10, 1));
  store.store('savestate', blob(20, 2));
  const both = store.generation;
  store.delete('savestate');
  store.store('permall', blob(10, 3));
  store.restore(both);
  t.deepEqual(store.load('permall'), blob(10, 1));
  t.deepEqual(store.load('savestate'), blob(20, 2));
});

test('a restore, a growing, a shrinking store and a deletion that are cut off leave old or new', t => {
  const keep = 1;
  const before = formatted({ historyLength: keep });
  const first = activated(before);
  first.store('permall', blob(600, 1));
  first.store('permall', blob(600, 2));
  first.close();
  const kept = first.generation - 1;
  const acts: [string, (store: ActiveStore) => void][] = [
    ['600 × 1', store => store.restore(kept)],
    ['2000 × 3', store => store.store('permall', blob(2000, 3))],
    ['100 × 4', store => store.store('permall', blob(100, 4))],
    ['none', store => store.delete('permall')],
  ];
  for (const [after, act] of acts) {
    const run = (disk: SimulatedDisk): void => act(activated(disk));
    const outcomes = { cut: new Set<string>(), finished: new Set<string>() };
    for (const { finished, disk } of everyPowerCut(platter(before), run, { limit: 2_500 })) {
      outcomes[finished ? 'finished' : 'cut'].add(contents(disk).replace('OK: ', ''));
    }
    t.deepEqual([...outcomes.finished], [after]);
    t.deepEqual([...outcomes.cut].sort(), ['600 × 2', after].sort());
  }
});

test('an area that is full grows, as far as the disk goes, and a cut leaves old or new', t => {
  const disk = new SimulatedDisk(4 * AREA_BYTES_MIN);
  format(disk, { areaLength: AREA_BYTES_MIN });
  const store = activated(disk);
  store.store('permall', blob(1000, 1));
  const grow = (store: ActiveStore): void => store.store('permall', blob(AREA_BYTES_MIN, 2));
  const before = platter(disk);
  for (const { finished, disk: cut } of everyPowerCut(before, disk => grow(activated(disk)), {
    limit: 20,
  })) {
    const found = contents(cut);
    const wanted = finished ? ['OK: 262144 × 2'] : ['OK: 1000 × 1', 'OK: 262144 × 2'];
    if (!wanted.includes(found)) return t.fail(`${finished}: ${found}`);
  }
  grow(store);
  t.true(inspected(disk).state!.directory.areaLength > AREA_BYTES_MIN);
  store.store('savestate', blob(AREA_BYTES_MIN, 3));
  store.store('x', blob(AREA_BYTES_MIN, 4));
  t.throws(() => store.store('permall', blob(AREA_BYTES_MIN, 5)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 262144 × 2');
});

test('a blob above the limit is refused, one at the limit is not', t => {
  const disk = formatted({ blobLimit: 1000 });
  const store = activated(disk);
  store.store('permall', blob(1000, 1));
  t.throws(() => store.store('permall', blob(1001, 2)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 1000 × 1');
});

test('a repair finishes a store that was cut off, fences off its instance, and repairs nothing else', t => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(700, 1));
  store.store('permall', blob(700, 2));
  t.true(repaired(disk));
  t.is(contents(disk), 'OK: 700 × 2');
  t.is(inspected(disk).state!.ackRecord!.state, 'clean');
  t.throws(() => store.store('permall', blob(700, 3)), { code: 'FENCED' });
  const closed = platter(disk);
  t.false(repaired(disk), 'there is nothing left to do');
  t.deepEqual(platter(disk), closed);

  disk.write(inspected(disk).state!.directory.entries[0]!.offset, Uint8Array.of(0xff));
  const damaged = platter(disk);
  t.throws(() => repaired(disk), { code: 'CORRUPT' });
  t.deepEqual(platter(disk), damaged);
});

test('a repair that is cut off has lost nothing', t => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(700, 1));
  for (const { disk: cut } of everyPowerCut(platter(disk), disk => repaired(disk), {
    limit: 600,
  })) {
    if (opened(cut) !== '700 × 1') return t.fail(contents(cut));
  }
  t.is(contents(disk), 'OK: 700 × 1');
});

test('any sequence of stores, deletions, restarts and pulled plugs keeps what a Map would', t => {
  const name = fc.constantFrom('permall', 'savestate', 'volatilestate', 'x');
  const bytes = { name, length: fc.nat(9000), fill: fc.nat(255) };
  const step = fc.oneof(
    fc.record({ act: fc.constant('store' as const), ...bytes }),
    fc.record({ act: fc.constant('delete' as const), name }),
    fc.record({ act: fc.constant('close' as const) }),
    // The power goes between two steps, or `after` writes and flushes into a store.
    fc.record({ act: fc.constant('cut' as const), seed: fc.nat() }),
    fc.record({ act: fc.constant('torn' as const), ...bytes, after: fc.nat(3), seed: fc.nat() }),
  );
  const keeps = fc.property(
    fc.array(step, { maxLength: 40 }),
    fc.nat(3),
    (steps, historyLength) => {
      // Room for four blobs of four states each, and for what is being written.
      let disk = new SimulatedDisk(4 * AREA_BYTES_MIN);
      format(disk, { historyLength });
      const model = new Map<string, Uint8Array>();
      let store = activated(disk);
      const restart = (seed: number): void => {
        disk = new SimulatedDisk(disk.wreckage(picks(seed)));
        store = activated(disk);
      };
      for (const each of steps) {
        if (each.act === 'store') {
          store.store(each.name, blob(each.length, each.fill));
          model.set(each.name, blob(each.length, each.fill));
        } else if (each.act === 'delete') {
          store.delete(each.name);
          model.delete(each.name);
        } else if (each.act === 'close') {
          store.close();
          store = activated(disk);
        } else if (each.act === 'cut') {
          restart(each.seed);
        } else {
          const next = blob(each.length, each.fill);
          disk.cutPowerAfter(each.after);
          const stored = survives(() => store.store(each.name, next));
          restart(each.seed);
          // A store that was cut off may have landed whole.
          if (stored || isSame(store.load(each.name), next)) model.set(each.name, next);
        }
      }
      return ['permall', 'savestate', 'volatilestate', 'x'].every(name =>
        isSame(store.load(name), model.get(name)),
      );
    },
  );
  fc.assert(keeps, { numRuns: 150 });
  t.pass();
});

const isSame = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

/** Numbers from 0 to options - 1, as `seed` has it. */
function picks(seed: number): (options: number) => number {
  let at = 1 + (seed % 0x7fff_fffe);
  return options => {
    at = (at * 48_271) % 0x7fff_ffff;
    return at % options;
  };
}

/** Whether `act` returned before the power went. */
function survives(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof PowerCut) return false;
    throw error;
  }
}
