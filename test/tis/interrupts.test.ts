/**
 * When the line goes up and down. Causes and masks as recorded from QEMU 7.2 (docs/tis.md:
 * departures).
 */
import test from 'ava';
import { type Bench, bench, EXCHANGE, REG } from './_device.js';

const DATA = 0x01;
const VALID = 0x02;
const CHANGE = 0x04;
const READY = 0x80;
const GLOBAL = 0x8000_0000;

/** Locality 0 has the TPM and has enabled `causes`; a deferred TPM. */
function enabled(causes: number, global = GLOBAL): Bench {
  const b = bench();
  b.tpm.reply = undefined;
  b.put(0, REG.ACCESS, 0x02);
  b.put(0, REG.INT_ENABLE, (global + causes) >>> 0, 4);
  return b;
}

const drain = (b: Bench): boolean[] => b.line.splice(0);

test('INT_ENABLE keeps the bits that it has; byte writes merge', t => {
  const b = enabled(0);
  b.put(0, REG.INT_ENABLE, 0xffff_ffff, 4);
  t.is(b.get(0, REG.INT_ENABLE), 0x8000_009f);
  b.put(0, REG.INT_ENABLE, 0x00);
  t.is(b.get(0, REG.INT_ENABLE), 0x8000_0000);
  b.put(0, REG.INT_ENABLE + 3, 0x7f);
  b.put(0, REG.INT_ENABLE + 1, 0xff);
  t.is(b.get(0, REG.INT_ENABLE), 0x0000_0000);
  b.put(0, REG.INT_ENABLE, 0x0187, 2);
  t.is(b.get(0, REG.INT_ENABLE), 0x0000_0087);
});

test('only the locality in use sets up its interrupts; the others keep their own', t => {
  const b = enabled(READY);
  b.put(1, REG.INT_ENABLE, 0xffff_ffff, 4);
  t.is(b.get(1, REG.INT_ENABLE), 0x0000_0008);
  t.is(b.get(0, REG.INT_ENABLE), 0x8000_0080);
});

test('the way of one command: ready, response there, last byte read', t => {
  const b = enabled(READY | DATA | VALID);
  t.deepEqual(drain(b), []);
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), [true]);
  t.is(b.get(0, REG.INT_STATUS), READY);
  b.put(0, REG.INT_STATUS, READY);
  t.deepEqual(drain(b), [false]);
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), [], 'ready again is no news');
  b.send(0, EXCHANGE['1.2'].command);
  t.deepEqual(drain(b), [], 'stsValid never falls while bytes arrive');
  b.put(0, REG.STS, 0x20);
  t.deepEqual(drain(b), []);
  b.tpm.answer();
  t.deepEqual(drain(b), [true]);
  t.is(b.get(0, REG.INT_STATUS), DATA | VALID);
  b.put(0, REG.INT_STATUS, DATA);
  t.deepEqual(drain(b), [], 'one is left');
  b.put(0, REG.INT_STATUS, VALID);
  t.deepEqual(drain(b), [false]);
  b.fetch(0, 9);
  t.deepEqual(drain(b), []);
  b.fetch(0, 1);
  t.deepEqual(drain(b), [true]);
  t.is(b.get(0, REG.INT_STATUS), VALID);
  b.put(0, REG.INT_STATUS, 0xff);
  t.deepEqual(drain(b), [false]);
  b.put(0, REG.STS, 0x02);
  t.deepEqual(drain(b), [], 'a response that is read again is no news');
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), [true]);
});

test('aborts tell that the TPM is ready: at once, and when the TPM has responded', t => {
  const b = enabled(READY);
  b.put(0, REG.STS, 0x40);
  b.put(0, REG.INT_STATUS, READY);
  b.put(0, REG.DATA_FIFO, 0);
  drain(b);
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), [true]);
  b.put(0, REG.INT_STATUS, READY);
  b.send(0, EXCHANGE['1.2'].command);
  b.put(0, REG.STS, 0x20);
  drain(b);
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), []);
  b.tpm.answer();
  t.deepEqual(drain(b), [true]);
});

test('without its bit, or without the global one, an event leaves no trace', t => {
  for (const b of [enabled(DATA | VALID | CHANGE), enabled(READY, 0)]) {
    b.put(0, REG.STS, 0x40);
    t.deepEqual(drain(b), []);
    t.is(b.get(0, REG.INT_STATUS), 0);
  }
});

test('clearing what is not set, or what is not yours, does nothing', t => {
  const b = enabled(READY);
  b.put(0, REG.STS, 0x40);
  b.put(0, REG.INT_STATUS, 0x7f);
  b.put(1, REG.INT_STATUS, 0xff);
  t.is(b.get(0, REG.INT_STATUS), READY);
  t.deepEqual(drain(b), [true]);
});

test('a locality that gets the TPM is interrupted, also when the TPM was free', t => {
  const b = enabled(CHANGE);
  b.put(0, REG.ACCESS, 0x20);
  t.deepEqual(drain(b), []);
  b.put(0, REG.ACCESS, 0x02);
  t.is(b.get(0, REG.INT_STATUS), CHANGE);
  t.deepEqual(drain(b), [true]);
  b.put(0, REG.INT_STATUS, CHANGE);
  b.put(3, REG.ACCESS, 0x08);
  t.is(b.get(3, REG.INT_STATUS), 0, 'locality 3 has not asked for it');
  b.put(0, REG.ACCESS, 0x02);
  drain(b);
  b.put(3, REG.ACCESS, 0x20);
  t.is(b.get(0, REG.INT_STATUS), CHANGE);
  t.deepEqual(drain(b), [true]);
});

test('the line is that of the locality in use', t => {
  const b = enabled(READY);
  b.put(0, REG.STS, 0x40);
  t.deepEqual(drain(b), [true]);
  b.put(2, REG.ACCESS, 0x08);
  t.deepEqual(drain(b), [false], 'locality 2 could not clear it');
  t.is(b.get(0, REG.INT_STATUS), READY);
  b.put(0, REG.ACCESS, 0x02);
  b.put(2, REG.ACCESS, 0x20);
  t.deepEqual(drain(b), [true]);
  b.put(0, REG.INT_ENABLE + 3, 0);
  t.deepEqual(drain(b), [false], 'the global bit holds it back');
});

test('a reset lets the line fall', t => {
  const b = enabled(READY);
  b.put(0, REG.STS, 0x40);
  b.tis.reset();
  t.deepEqual(drain(b), [true, false]);
  t.is(b.get(0, REG.INT_STATUS), 0);
  t.is(b.get(0, REG.INT_ENABLE), 0x08);
});
