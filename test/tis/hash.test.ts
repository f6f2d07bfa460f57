/** Locality 4: the measured launch (TIS 1.3, TPM_HASH_START, TPM_HASH_DATA, TPM_HASH_END). */
import test from 'ava';
import { bench, benchIn, REG } from './_device.js';

test('start, data of every width, end: the TPM gets the bytes in order', t => {
  const b = bench();
  b.put(4, REG.HASH_START, 0xff);
  t.is(b.access(), '80 80 80 80 a0', 'locality 4 has the TPM, and the flag is set');
  b.put(4, REG.DATA_FIFO, 0x0403_0201, 4);
  b.put(4, REG.DATA_FIFO + 1, 0x0605, 2);
  b.put(4, REG.DATA_FIFO + 3, 0x07, 1);
  b.put(4, REG.HASH_END, 0, 4);
  t.deepEqual(b.tpm.hashed, ['start', '01020304', '05', '06', '07', 'end']);
  t.is(b.access(), '80 80 80 80 80');
});

test('only locality 4, and only the first byte of the registers', t => {
  const b = bench();
  for (const locality of [0, 1, 2, 3]) b.put(locality, REG.HASH_START, 0, 4);
  for (const byte of [1, 2, 3, 4]) b.put(4, REG.HASH_START + byte, 0);
  b.put(4, REG.HASH_END, 0);
  b.put(4, REG.DATA_FIFO, 1);
  t.deepEqual(b.tpm.hashed, []);
  t.is(b.access(), '81 81 81 81 81');
  b.put(4, REG.HASH_START, 0);
  for (const byte of [1, 2, 3]) b.put(4, REG.HASH_END + byte, 0);
  t.deepEqual(b.tpm.hashed, ['start']);
});

test('not while another locality has the TPM, and not over a running command', t => {
  const other = benchIn('ready');
  other.put(4, REG.HASH_START, 0);
  t.deepEqual(other.tpm.hashed, []);
  t.is(other.get(0, REG.STS), 0x0010_0040);
  const running = benchIn('execution', {}, 4);
  running.put(4, REG.HASH_START, 0);
  t.deepEqual(running.tpm.hashed, []);
  t.is(running.tpm.cancels, 0);
});

test('a start ends what locality 4 was about; a second start begins anew', t => {
  const b = benchIn('completion', {}, 4);
  b.put(4, REG.HASH_START, 0);
  t.is(b.get(4, REG.STS), 0x0010_0000);
  t.is(b.get(4, REG.DATA_FIFO), 0xffff_ffff);
  b.put(4, REG.HASH_START, 0);
  b.put(4, REG.HASH_END, 0);
  b.put(4, REG.HASH_END, 0);
  t.deepEqual(b.tpm.hashed, ['start', 'start', 'end']);
});

test('in between nothing else acts, but the others may wait for the TPM', t => {
  const b = bench();
  b.put(4, REG.HASH_START, 0);
  b.put(4, REG.ACCESS, 0x20);
  b.put(4, REG.STS, 0x40);
  b.put(4, REG.XDATA_FIFO, 0x12);
  b.put(4, REG.INT_ENABLE, 0xff);
  b.put(3, REG.ACCESS, 0x08);
  t.is(b.get(4, REG.STS), 0x0010_0000);
  t.is(b.get(4, REG.INT_ENABLE), 0x08);
  b.put(1, REG.ACCESS, 0x02);
  b.put(2, REG.ACCESS, 0x02);
  b.put(2, REG.ACCESS, 0x20);
  t.is(b.access(), '84 82 84 84 a4');
  b.put(4, REG.HASH_END, 0);
  t.is(b.access(), '80 a0 80 80 80');
  t.deepEqual(b.tpm.hashed, ['start', 'end']);
});

test('a reset ends it', t => {
  const b = bench();
  b.put(4, REG.HASH_START, 0);
  b.tis.reset();
  b.put(4, REG.DATA_FIFO, 0x12);
  b.put(4, REG.HASH_END, 0);
  t.deepEqual(b.tpm.hashed, ['start']);
});
