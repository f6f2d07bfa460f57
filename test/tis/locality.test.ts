/** Which locality is active: the trace recorded from QEMU 7.2, and what a change does to a command. */
import test from 'ava';
import { Tis } from '../../src/tis/index.js';
import { bench, benchIn, EXCHANGE, FakeTpm, REG } from './_device.js';
import { RECORDED } from './_steps.js';

test('ACCESS of all localities, write by write, as recorded', t => {
  const b = bench();
  for (const [writes, expected] of RECORDED) {
    for (const write of writes.split(' ').filter(part => part !== '')) {
      const [locality, value] = write.split('<');
      b.put(Number(locality), REG.ACCESS, Number.parseInt(value!, 16));
    }
    t.is(b.access(), expected, writes);
  }
});

test('writes to the other bytes of ACCESS do nothing; wide ones use the low byte', t => {
  const b = bench();
  for (const offset of [1, 2, 3, 4]) b.put(0, offset, 0x02);
  b.put(0, 0, 0x0202_0200, 4);
  t.is(b.access(), '81 81 81 81 81');
  b.put(0, 0, 0xffff_ff02, 4);
  t.is(b.access(), 'a1 81 81 81 81');
  b.put(0, 0, 0xff20, 2);
  t.is(b.access(), '81 81 81 81 81');
});

test('locality 4 takes part only where it is enabled', t => {
  const open = bench();
  open.put(0, REG.ACCESS, 0x02);
  open.put(4, REG.ACCESS, 0x08);
  t.is(open.access(), '91 81 81 81 a1');
  const shut = bench({ locality4: false });
  for (const value of [0x02, 0x08, 0xff]) shut.put(4, REG.ACCESS, value);
  shut.put(4, REG.HASH_START, 0, 4);
  shut.tis.write(0x3ffd, 4, 0x0200_0000);
  t.is(shut.access(), '81 81 81 81 81');
  t.deepEqual(shut.tpm.hashed, []);
});

test('by default writes to locality 4 are dropped', t => {
  const tpm = new FakeTpm();
  const tis = new Tis({ backend: tpm, personality: '1.2' });
  tis.write(0x4000 + REG.HASH_START, 1, 0);
  tis.write(0x4000 + REG.ACCESS, 1, 0x02);
  t.deepEqual(tpm.hashed, []);
  t.is(tis.read(0x4000 + REG.ACCESS, 1), 0x81);
});

const STATES = ['idle', 'ready', 'reception', 'complete', 'completion'] as const;

for (const state of STATES) {
  test(`a locality that gives the TPM up in ${state} leaves nothing behind`, t => {
    const b = benchIn(state);
    b.put(0, REG.ACCESS, 0x20);
    t.is(b.get(0, REG.STS), 0xffff_ffff);
    b.put(1, REG.ACCESS, 0x02);
    t.is(b.get(1, REG.STS), 0x0010_0000);
    t.is(b.get(1, REG.DATA_FIFO), 0xffff_ffff);
    b.put(1, REG.STS, 0x02);
    t.is(b.get(1, REG.STS), 0x0010_0000, 'a response cannot be had again');
    b.put(1, REG.STS, 0x40);
    b.send(1, EXCHANGE['1.2'].command);
    t.is(b.get(1, REG.STS), 0x000f_f480);
    b.put(1, REG.ACCESS, 0x20);
    b.put(0, REG.ACCESS, 0x02);
    t.is(b.get(0, REG.STS), 0x0010_0000);
  });

  test(`a locality that loses the TPM in ${state} leaves nothing behind`, t => {
    const b = benchIn(state);
    b.put(2, REG.ACCESS, 0x08);
    t.is(b.access(), '91 81 a1 81 81');
    t.is(b.get(2, REG.STS), 0x0010_0000);
    t.is(b.get(2, REG.DATA_FIFO), 0xffff_ffff);
    t.is(b.get(0, REG.STS), 0xffff_ffff);
  });
}

test('the TPM gets the locality that sends the command', t => {
  for (const locality of [0, 1, 2, 3, 4]) {
    const b = benchIn('completion', {}, locality);
    t.deepEqual(b.tpm.commands, [{ command: EXCHANGE['1.2'].command, locality }]);
  }
});
