/** Kept states, growth, limits, repair: the rest of what a store does. */
import test from 'ava';
import fc from 'fast-check';
import { formatStore, inspectStore, NvramStore } from '../../src/nvram/index.js';
import { AREA_BYTES_MIN } from '../../src/nvram/layout.js';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { blob, contents, entropy, formatted, opened, platter } from './_stores.js';

test('the last states are kept, as many as asked for, and come back as new ones', t => {
  const disk = formatted({ keep: 3 });
  const store = NvramStore.activate(disk, { entropy });
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
  const disk = formatted({ keep: 1 });
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', blob(0, 0));
  store.close();
  const next = NvramStore.activate(disk, { entropy });
  t.is(next.load('permall')?.length, 0);
  next.store('permall', blob(1, 7));
  next.close();
  t.is(contents(disk), 'OK: 1 × 7');
  t.is(inspectStore(disk).verdict, 'OK');
  t.deepEqual(NvramStore.activate(disk, { entropy }).load('permall'), blob(1, 7));
});

test('a kept state is of all blobs together, deleted ones too', t => {
  const disk = formatted({ keep: 4 });
  const store = NvramStore.activate(disk, { entropy });
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
  const before = formatted({ keep });
  const first = NvramStore.activate(before, { entropy });
  first.store('permall', blob(600, 1));
  first.store('permall', blob(600, 2));
  first.close();
  const kept = first.generation - 1;
  const acts: [string, (store: NvramStore) => void][] = [
    ['600 × 1', store => store.restore(kept)],
    ['2000 × 3', store => store.store('permall', blob(2000, 3))],
    ['100 × 4', store => store.store('permall', blob(100, 4))],
    ['none', store => store.delete('permall')],
  ];
  for (const [after, act] of acts) {
    const run = (disk: SimulatedDisk): void => act(NvramStore.activate(disk, { entropy }));
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
  formatStore(disk, { entropy, areaLength: AREA_BYTES_MIN });
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', blob(1000, 1));
  const grow = (store: NvramStore): void => store.store('permall', blob(AREA_BYTES_MIN, 2));
  const before = platter(disk);
  for (const { finished, disk: cut } of everyPowerCut(
    before,
    disk => grow(NvramStore.activate(disk, { entropy })),
    { limit: 20 },
  )) {
    const found = contents(cut);
    const wanted = finished ? ['OK: 262144 × 2'] : ['OK: 1000 × 1', 'OK: 262144 × 2'];
    if (!wanted.includes(found)) return t.fail(`${finished}: ${found}`);
  }
  grow(store);
  t.true(inspectStore(disk).state!.directory.areaLength > AREA_BYTES_MIN);
  store.store('savestate', blob(AREA_BYTES_MIN, 3));
  store.store('x', blob(AREA_BYTES_MIN, 4));
  t.throws(() => store.store('permall', blob(AREA_BYTES_MIN, 5)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 262144 × 2');
});

test('a blob above the limit is refused, one at the limit is not', t => {
  const disk = formatted({ blobLimit: 1000 });
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', blob(1000, 1));
  t.throws(() => store.store('permall', blob(1001, 2)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 1000 × 1');
});

test('a repair settles a store that was cut off, fences off its instance, and repairs nothing else', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', blob(700, 1));
  store.store('permall', blob(700, 2));
  t.true(NvramStore.repair(disk));
  t.is(contents(disk), 'OK: 700 × 2');
  t.is(inspectStore(disk).state!.mark!.state, 'clean');
  t.throws(() => store.store('permall', blob(700, 3)), { code: 'FENCED' });
  const settled = platter(disk);
  t.false(NvramStore.repair(disk), 'there is nothing left to do');
  t.deepEqual(platter(disk), settled);

  disk.write(inspectStore(disk).state!.directory.entries[0]!.offset, Uint8Array.of(0xff));
  const damaged = platter(disk);
  t.throws(() => NvramStore.repair(disk), { code: 'CORRUPT' });
  t.deepEqual(platter(disk), damaged);
});

test('a repair that is cut off has lost nothing', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk, { entropy });
  store.store('permall', blob(700, 1));
  for (const { disk: cut } of everyPowerCut(platter(disk), disk => NvramStore.repair(disk), {
    limit: 600,
  })) {
    if (opened(cut) !== '700 × 1') return t.fail(contents(cut));
  }
  t.is(contents(disk), 'OK: 700 × 1');
});

test('any sequence of stores, deletions, restarts and pulled plugs keeps what a Map would', t => {
  const name = fc.constantFrom('permall', 'savestate', 'volatilestate', 'x');
  const step = fc.oneof(
    fc.record({
      act: fc.constant('store' as const),
      name,
      length: fc.nat(9000),
      fill: fc.nat(255),
    }),
    fc.record({ act: fc.constant('delete' as const), name }),
    fc.record({ act: fc.constantFrom('close' as const, 'cut' as const) }),
  );
  const keeps = fc.property(fc.array(step, { maxLength: 40 }), fc.nat(3), (steps, keep) => {
    // Room for four blobs of four states each, and for what is being written.
    const disk = new SimulatedDisk(4 * AREA_BYTES_MIN);
    formatStore(disk, { entropy, keep });
    const model = new Map<string, Uint8Array>();
    let store = NvramStore.activate(disk, { entropy });
    for (const each of steps) {
      if (each.act === 'store') {
        store.store(each.name, blob(each.length, each.fill));
        model.set(each.name, blob(each.length, each.fill));
      } else if (each.act === 'delete') {
        store.delete(each.name);
        model.delete(each.name);
      } else {
        if (each.act === 'close') store.close();
        store = NvramStore.activate(disk, { entropy });
      }
    }
    for (const name of ['permall', 'savestate', 'volatilestate', 'x']) {
      const [kept, expected] = [store.load(name), model.get(name)];
      if (expected === undefined ? kept !== undefined : Buffer.compare(kept!, expected) !== 0) {
        return false;
      }
    }
    return true;
  });
  fc.assert(keeps, { numRuns: 150 });
  t.pass();
});
