/** The outcomes of opening a store stay apart, and damage is never taken for anything else. */
import test from 'ava';
import { formatStore, inspectStore, NvramError, NvramStore } from '../../src/nvram/index.js';
import {
  AREA_BYTES_MIN,
  encodeDirectory,
  MARK_OFFSET,
  readDirectory,
  SLOT_OFFSETS,
  sha256,
} from '../../src/nvram/layout.js';
import { everyFlip, SimulatedDisk } from '../../src/testing/index.js';
import { blob, contents, entropy, formatted, platter, wellUsed } from './_stores.js';

test('a disk of zeros is EMPTY, a formatted one too, and only until the first blob', t => {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  t.is(inspectStore(disk).verdict, 'EMPTY');
  t.is(inspectStore(disk).state, undefined);
  formatStore(disk, { entropy });
  t.is(inspectStore(disk).verdict, 'EMPTY');
  const store = NvramStore.activate(disk);
  t.true(store.pristine);
  store.store('permall', blob(10, 1));
  t.false(store.pristine);
  store.delete('permall');
  t.false(store.pristine, 'what was deleted had been stored');
  store.close();
  t.is(inspectStore(disk).verdict, 'OK');
});

test('other data on the disk are CORRUPT and not EMPTY, wherever they lie', t => {
  for (const offset of [0, 5000, SLOT_OFFSETS[1], MARK_OFFSET, AREA_BYTES_MIN - 1]) {
    const disk = new SimulatedDisk(AREA_BYTES_MIN);
    disk.write(offset, Uint8Array.of(1));
    t.is(inspectStore(disk).verdict, 'CORRUPT', `data at ${offset}`);
    t.throws(() => formatStore(disk, { entropy }), { instanceOf: NvramError, code: 'CORRUPT' });
  }
});

test('a store that lost both directories and the mark is CORRUPT, not EMPTY', t => {
  const disk = wellUsed();
  for (const offset of [...SLOT_OFFSETS, MARK_OFFSET]) disk.write(offset, new Uint8Array(512));
  disk.write(SLOT_OFFSETS[0], new Uint8Array(4096));
  disk.write(SLOT_OFFSETS[1], new Uint8Array(4096));
  t.is(inspectStore(disk).verdict, 'CORRUPT');
});

test('a disk that is too small is TOO_SMALL', t => {
  t.is(inspectStore(new SimulatedDisk(AREA_BYTES_MIN - 512)).verdict, 'TOO_SMALL');
  const disk = new SimulatedDisk(2 * AREA_BYTES_MIN);
  formatStore(disk, { entropy, areaLength: 2 * AREA_BYTES_MIN });
  const shrunk = new SimulatedDisk(platter(disk).slice(0, AREA_BYTES_MIN));
  t.is(inspectStore(disk).verdict, 'EMPTY');
  t.is(inspectStore(shrunk).verdict, 'TOO_SMALL');
});

test('a store that outgrows its area is refused before anything is written', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk);
  store.store('permall', blob(100, 1));
  t.throws(() => store.store('permall', blob(AREA_BYTES_MIN, 2)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 100 × 1');
});

test('a newer revision is REVISION; a flipped revision is CORRUPT', t => {
  const disk = wellUsed();
  const slot = inspectStore(disk).state!.slot;
  const page = disk.read(SLOT_OFFSETS[slot], 4096);
  const flipped = new SimulatedDisk(platter(disk));
  flipped.write(SLOT_OFFSETS[slot] + 11, Uint8Array.of(2));
  t.is(inspectStore(flipped).verdict, 'CORRUPT');

  // Revision 2 as a later version would write it: magic, revision and digest stay where they are.
  const found = readDirectory(page);
  if (found.is !== 'sound') return t.fail();
  const newer = encodeDirectory(found.value).slice();
  newer[11] = 2;
  newer.fill(0, 16, 48);
  newer.set(sha256(newer), 16);
  disk.write(SLOT_OFFSETS[slot], newer);
  t.is(inspectStore(disk).verdict, 'REVISION');
  t.throws(() => NvramStore.activate(disk), { code: 'REVISION' });
});

test('a flipped bit anywhere in a cleanly closed store is CORRUPT', t => {
  const disk = wellUsed();
  const { regions } = inspectStore(disk);
  t.deepEqual([...new Set(regions.map(region => region.what))].length, regions.length);
  let flips = 0;
  for (const { what, offset, length } of regions) {
    // A stride of 7 meets every byte, and each bit of a byte in turn.
    for (const flip of everyFlip(platter(disk), { offset, length, stride: 7 })) {
      flips += 1;
      const { verdict } = inspectStore(new SimulatedDisk(flip.bytes));
      if (verdict !== 'CORRUPT') return t.fail(`${what}, byte ${flip.offset}: ${verdict}`);
    }
  }
  t.log(`${flips} flips in ${regions.length} regions, all refused`);
});

test('a blob that was damaged is named, with its place, and the store is not touched', t => {
  const disk = wellUsed();
  const { state } = inspectStore(disk);
  const entry = state!.directory.entries.find(each => each.name === 'permall')!;
  disk.write(entry.offset + 5, Uint8Array.of(0xff));
  const before = platter(disk);
  const error = t.throws(() => NvramStore.activate(disk), {
    instanceOf: NvramError,
    code: 'CORRUPT',
  });
  t.true(
    error.findings.some(why => why.includes(`blob permall`) && why.includes(`${entry.offset}`)),
  );
  t.deepEqual(platter(disk), before);
});

test('the same bytes again write nothing', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk);
  store.store('permall', blob(100, 1));
  const steps = disk.steps;
  store.store('permall', blob(100, 1));
  store.delete('savestate');
  t.is(disk.steps, steps);
});

test('an instance that another one has replaced can store nothing', t => {
  const disk = formatted();
  const first = NvramStore.activate(disk);
  first.store('permall', blob(100, 1));
  const second = NvramStore.activate(disk);
  t.throws(() => first.store('permall', blob(100, 2)), { code: 'FENCED' });
  t.throws(() => first.load('permall'), { code: 'FENCED' }, 'and stays so');
  second.store('permall', blob(100, 3));
  t.is(contents(disk), 'OK: 100 × 3');
});

test('handed over and taken back, or fenced if somebody came', t => {
  const disk = formatted();
  const source = NvramStore.activate(disk);
  source.store('permall', blob(100, 1));
  source.handOver();
  t.is(inspectStore(disk).state?.mark?.state, 'handed-over');
  source.resume();
  source.store('permall', blob(100, 2));
  source.handOver();
  NvramStore.activate(disk);
  t.throws(() => source.resume(), { code: 'FENCED' });
});

test('an older generation that is damaged while the store is active is replaced before it is closed', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk);
  store.store('permall', blob(2050, 1));
  const damaged = inspectStore(disk).state!.directory.entries[0]!;
  disk.write(damaged.offset + 100, Uint8Array.of(0xff));
  store.store('permall', blob(2050, 2));
  store.close();
  t.is(contents(disk), 'OK: 2050 × 2');
  t.true(inspectStore(disk).intact);
});

test('a current generation that is damaged while the store is active is never closed as clean', t => {
  const disk = formatted();
  const store = NvramStore.activate(disk);
  store.store('permall', blob(2050, 1));
  disk.write(inspectStore(disk).state!.directory.entries[0]!.offset + 100, Uint8Array.of(0xff));
  t.throws(() => store.close(), { code: 'CORRUPT' });
  t.is(contents(disk), 'CORRUPT');
});
