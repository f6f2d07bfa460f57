/** The disk of the power-cut tests keeps its fault model: what a cut can leave, no more and no less. */
import test from 'ava';
import { IoError } from '../../src/errors.js';
import { everyPowerCut, PowerCut, SECTOR_BYTES, SimulatedDisk } from '../../src/testing/index.js';

const filled = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);
/** The first byte of each sector, and the length in sectors. */
const shape = (platter: Uint8Array): string =>
  Array.from({ length: platter.length / SECTOR_BYTES }, (_, i) => platter[i * SECTOR_BYTES]).join(
    '',
  );
const shapes = (disk: SimulatedDisk): string[] => [...disk.wreckages()].map(shape).sort();
const all = (disk: SimulatedDisk): string => shape(disk.read(0, disk.length));

test('each unflushed sector is as before, or as in any version, and all are there once flushed', t => {
  const disk = new SimulatedDisk(2 * SECTOR_BYTES);
  disk.write(0, filled(2 * SECTOR_BYTES, 1));
  disk.write(SECTOR_BYTES, filled(SECTOR_BYTES, 2));
  t.is(disk.landings, 6);
  t.deepEqual(shapes(disk), ['00', '01', '02', '10', '11', '12']);
  t.is(all(disk), '12');
  disk.flush();
  t.deepEqual(shapes(disk), ['12']);
});

test('a file that grew is as long as it needs to be, or as it was last, with zeros in between', t => {
  const disk = new SimulatedDisk(SECTOR_BYTES);
  disk.write(SECTOR_BYTES, filled(2 * SECTOR_BYTES, 1));
  // Of '000' one sector may have landed before the length, of '001' the last one.
  t.deepEqual(shapes(disk), ['0', '000', '001', '01', '010', '011']);
  const picks = new Set([0, 1].map(pick => shape(disk.wreckage(options => pick % options))));
  t.deepEqual([...picks], ['0', '011']);
  const resized = new SimulatedDisk(SECTOR_BYTES);
  resized.truncate(3 * SECTOR_BYTES);
  t.deepEqual(shapes(resized), ['0', '000'], 'a resize lands without its data, or not at all');
  resized.flush();
  t.deepEqual(shapes(resized), ['000']);
});

test('a misdirected write lands elsewhere, and nothing reports it', t => {
  const disk = new SimulatedDisk(3 * SECTOR_BYTES);
  disk.misdirectAfter(1, 2 * SECTOR_BYTES);
  disk.write(0, filled(SECTOR_BYTES, 1));
  disk.write(SECTOR_BYTES, filled(SECTOR_BYTES, 2));
  disk.write(0, filled(SECTOR_BYTES, 3));
  t.is(all(disk), '302');
});

test('a short write fails, and has grown the file', t => {
  const disk = new SimulatedDisk(SECTOR_BYTES);
  disk.shortWriteAfter(0, SECTOR_BYTES);
  t.throws(() => disk.write(SECTOR_BYTES, filled(2 * SECTOR_BYTES, 1)), {
    instanceOf: IoError,
    message: /ENOSPC/,
  });
  t.is(all(disk), '01');
  disk.shortWriteAfter(0, 0, 'EFBIG');
  t.throws(() => disk.write(0, filled(SECTOR_BYTES, 2)), { message: /EFBIG/ });
  t.is(all(disk), '01');
});

test('an unreadable sector is EIO until it is written', t => {
  const disk = new SimulatedDisk(3 * SECTOR_BYTES);
  disk.failReads(SECTOR_BYTES + 5, 1);
  t.is(disk.read(0, SECTOR_BYTES)[0], 0);
  t.throws(() => disk.read(SECTOR_BYTES - 1, 2), { instanceOf: IoError, message: /EIO/ });
  disk.write(SECTOR_BYTES, filled(SECTOR_BYTES, 1));
  t.is(all(disk), '010');
});

test('a write that fails has written nothing; after a failed flush its bytes are read and never land', t => {
  const disk = new SimulatedDisk(SECTOR_BYTES);
  disk.failAfter(0, () => new IoError('write', 'x', { code: 'EIO' }));
  t.throws(() => disk.write(0, filled(SECTOR_BYTES, 1)), { code: 'IO' });
  t.is(all(disk), '0');
  disk.write(0, filled(SECTOR_BYTES, 2));
  disk.failAfter(0, () => new IoError('flush', 'x', { code: 'EIO' }));
  t.throws(() => disk.flush(), { code: 'IO' });
  t.is(all(disk), '2');
  t.deepEqual(shapes(disk), ['0']);
  disk.flush();
  t.deepEqual(shapes(disk), ['0']);
});

test('accidents are scripted one by one, and can be called off', t => {
  const disk = new SimulatedDisk(SECTOR_BYTES);
  disk.failAfter(0, () => new Error('first'));
  disk.failAfter(2, () => new Error('third'));
  const write = (): void => disk.write(0, filled(1, 1));
  t.throws(write, { message: 'first' });
  write();
  disk.clearAccidents();
  write();
  disk.cutPowerAfter(1);
  write();
  t.throws(write, { instanceOf: PowerCut });
  t.throws(() => disk.flush(), { instanceOf: PowerCut }, 'the power stays away');
});

test('every power cut: each step of an action, with each landing', t => {
  const found = [
    ...everyPowerCut(new Uint8Array(SECTOR_BYTES), disk => {
      disk.write(0, filled(SECTOR_BYTES, 1));
      disk.flush();
    }),
  ].map(({ step, finished, disk }) => `${step} ${finished} ${all(disk)}`);
  t.deepEqual(found, ['0 false 0', '1 false 0', '1 false 1', '2 true 1']);
});
