/**
 * The outcomes of opening a store stay apart, and damage is never taken for anything else.
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
import { ACK_RECORD_OFFSET, SLOT_OFFSETS } from '../../src/nvram/image/layout.js';
import { encodeDirectory, sha256 } from '../../src/nvram/image/pages.js';
import { AREA_BYTES_MIN, NvramError } from '../../src/nvram/index.js';
import { everyFlip, SimulatedDisk } from '../../src/testing/index.js';

test('a disk of zeros is EMPTY, a formatted one too, and only until the first blob', t => {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  t.is(inspected(disk).verdict, 'EMPTY');
  t.is(inspected(disk).state, undefined);
  format(disk);
  t.is(inspected(disk).verdict, 'EMPTY');
  const store = activated(disk);
  t.true(store.pristine);
  store.store('permall', blob(10, 1));
  t.false(store.pristine);
  store.delete('permall');
  t.false(store.pristine, 'what was deleted had been stored');
  store.close();
  t.is(inspected(disk).verdict, 'OK');
});

test('other data on the disk are CORRUPT and not EMPTY, wherever they lie', t => {
  for (const offset of [0, 5000, SLOT_OFFSETS[1], ACK_RECORD_OFFSET, AREA_BYTES_MIN - 1]) {
    const disk = new SimulatedDisk(AREA_BYTES_MIN);
    disk.write(offset, Uint8Array.of(1));
    t.is(inspected(disk).verdict, 'CORRUPT', `data at ${offset}`);
    t.throws(() => format(disk), { instanceOf: NvramError, code: 'CORRUPT' });
  }
});

test('a store that lost both directories and the record is CORRUPT, not EMPTY', t => {
  const disk = wellUsed();
  for (const offset of [...SLOT_OFFSETS, ACK_RECORD_OFFSET])
    disk.write(offset, new Uint8Array(512));
  disk.write(SLOT_OFFSETS[0], new Uint8Array(4096));
  disk.write(SLOT_OFFSETS[1], new Uint8Array(4096));
  t.is(inspected(disk).verdict, 'CORRUPT');
});

test('a disk that is too small is TOO_SMALL', t => {
  t.is(inspected(new SimulatedDisk(AREA_BYTES_MIN - 512)).verdict, 'TOO_SMALL');
  const disk = new SimulatedDisk(2 * AREA_BYTES_MIN);
  format(disk, { areaLength: 2 * AREA_BYTES_MIN });
  const shrunk = new SimulatedDisk(platter(disk).slice(0, AREA_BYTES_MIN));
  t.is(inspected(disk).verdict, 'EMPTY');
  t.is(inspected(shrunk).verdict, 'TOO_SMALL');
});

test('a store that outgrows its area is refused before anything is written', t => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(100, 1));
  t.throws(() => store.store('permall', blob(AREA_BYTES_MIN, 2)), { code: 'TOO_SMALL' });
  t.is(contents(disk), 'OK: 100 × 1');
});

test('another revision is REVISION, the one before the first release by name; a flip is CORRUPT', t => {
  for (const [revision, message] of [
    [1, /revision 1, a format from before the first release/],
    [3, /has revision 3; this version reads revision 2/],
  ] as const) {
    const disk = wellUsed();
    const { slot, directory } = inspected(disk).state!;
    const page = encodeDirectory(directory, undefined);
    // Magic, revision and digest stay where they are in every revision.
    page[11] = revision;
    const flipped = new SimulatedDisk(platter(disk));
    flipped.write(SLOT_OFFSETS[slot], page);
    t.is(inspected(flipped).verdict, 'CORRUPT');

    page.fill(0, 16, 48);
    page.set(sha256(page), 16);
    disk.write(SLOT_OFFSETS[slot], page);
    t.like(inspected(disk), { verdict: 'REVISION', revision });
    t.throws(() => activated(disk), { code: 'REVISION', message });
    t.throws(() => format(disk), { code: 'REVISION' });
  }
});

test('a flipped bit anywhere in a cleanly closed store is CORRUPT', t => {
  const disk = wellUsed();
  const { regions } = inspected(disk);
  t.deepEqual([...new Set(regions.map(region => region.what))].length, regions.length);
  let flips = 0;
  for (const { what, offset, length } of regions) {
    // A stride of 7 meets every byte, and each bit of a byte in turn.
    for (const flip of everyFlip(platter(disk), { offset, length, stride: 7 })) {
      flips += 1;
      const { verdict } = inspected(new SimulatedDisk(flip.bytes));
      if (verdict !== 'CORRUPT') return t.fail(`${what}, byte ${flip.offset}: ${verdict}`);
    }
  }
  t.log(`${flips} flips in ${regions.length} regions, all refused`);
});

test('a blob that was damaged is named, with its place, and the store is not touched', t => {
  const disk = wellUsed();
  const { state } = inspected(disk);
  const entry = state!.directory.entries.find(each => each.name === 'permall')!;
  disk.write(entry.offset + 5, Uint8Array.of(0xff));
  const before = platter(disk);
  const error = t.throws(() => activated(disk), {
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
  const store = activated(disk);
  store.store('permall', blob(100, 1));
  const steps = disk.steps;
  store.store('permall', blob(100, 1));
  store.delete('savestate');
  t.is(disk.steps, steps);
});

test('an instance that another one has replaced can store nothing', t => {
  const disk = formatted();
  const first = activated(disk);
  first.store('permall', blob(100, 1));
  const second = activated(disk);
  t.throws(() => first.store('permall', blob(100, 2)), { code: 'FENCED' });
  t.throws(() => first.load('permall'), { code: 'FENCED' }, 'and stays so');
  second.store('permall', blob(100, 3));
  t.is(contents(disk), 'OK: 100 × 3');
});

test('handed over and taken back, or fenced if another instance became active', t => {
  const disk = formatted();
  const source = activated(disk);
  source.store('permall', blob(100, 1));
  const left = source.handOver();
  t.is(inspected(disk).state?.ackRecord?.state, 'handed-over');
  const again = left.resume();
  again.store('permall', blob(100, 2));
  const leftAgain = again.handOver();
  t.true(leftAgain.isOurs());
  activated(disk);
  t.throws(() => leftAgain.resume(), { code: 'FENCED' });
  t.false(leftAgain.isOurs());
});

test('an older generation that is damaged while the store is active is replaced before it is closed', t => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(2050, 1));
  const damaged = inspected(disk).state!.directory.entries[0]!;
  disk.write(damaged.offset + 100, Uint8Array.of(0xff));
  store.store('permall', blob(2050, 2));
  store.close();
  t.is(contents(disk), 'OK: 2050 × 2');
  t.true(inspected(disk).intact);
});

test('a current generation that is damaged while the store is active is never closed as clean', t => {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(2050, 1));
  disk.write(inspected(disk).state!.directory.entries[0]!.offset + 100, Uint8Array.of(0xff));
  t.throws(() => store.close(), { code: 'CORRUPT' });
  t.is(contents(disk), 'CORRUPT');
});
