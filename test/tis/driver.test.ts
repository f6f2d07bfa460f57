/**
 * The guest's side: the order of its register accesses, and what it makes of a device that fails
 * it.
 */
import test from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { type Bus, TIS_BASE, TisDriver, TisDriverError } from '../../src/tis/index.js';
import { bench, EXCHANGE, REG } from './_device.js';

const COMMAND = hex(EXCHANGE['1.2'].command);

test('a command goes through and the TPM is free again', t => {
  for (const personality of ['1.2', '2.0'] as const) {
    for (const locality of [0, 1, 2, 3, 4]) {
      const b = bench({ personality });
      const driver = new TisDriver(b.tis, { locality });
      t.is(toHex(driver.transmit(COMMAND)), EXCHANGE['1.2'].reply);
      t.deepEqual(b.tpm.commands, [{ command: toHex(COMMAND), locality }]);
      t.is(b.access(), '81 81 81 81 81');
      t.deepEqual(driver.identify(), {
        family: personality,
        vendor: 0x1014,
        device: 1,
        revision: 1,
      });
    }
  }
});

test('long commands and responses go in bursts, whatever the size of the buffer', t => {
  for (const bufferSize of [128, 300, 4096]) {
    const b = bench({ bufferSize });
    const size = bufferSize.toString(16).padStart(8, '0');
    const command = hex(`00c1${size}${'5a'.repeat(bufferSize - 6)}`);
    b.tpm.reply = `00c4${size}${'a5'.repeat(bufferSize - 6)}`;
    t.is(toHex(new TisDriver(b.tis).transmit(command)), b.tpm.reply);
    t.is(b.tpm.commands[0]?.command, toHex(command));
  }
});

test('the register flow of a command, as the specification draws it', t => {
  const b = bench();
  const flow: string[] = [];
  const bus: Bus = {
    read(address, size) {
      const value = b.tis.read(address - TIS_BASE, size);
      flow.push(`r${size} ${address.toString(16)} ${value.toString(16)}`);
      return value;
    },
    write(address, size, value) {
      flow.push(`w${size} ${address.toString(16)} ${value.toString(16)}`);
      b.tis.write(address - TIS_BASE, size, value);
    },
  };
  new TisDriver(bus, { base: TIS_BASE }).transmit(COMMAND);
  const writes = flow.filter(line => line.startsWith('w'));
  t.deepEqual(writes, [
    'w1 fed40000 2',
    'w1 fed40018 40',
    ...[...COMMAND].map(byte => `w1 fed40024 ${byte.toString(16)}`),
    'w1 fed40018 20',
    'w1 fed40018 40',
    'w1 fed40000 20',
  ]);
  t.is(flow[0], 'r1 fed40000 81');
  t.is(flow.filter(line => line.startsWith('r1 fed40024')).length, 10);
});

test('a TPM that takes its time is waited for', t => {
  const b = bench();
  b.tpm.reply = undefined;
  let polls = 0;
  const wait = (): void => {
    polls += 1;
    if (polls === 5) b.tpm.answer();
  };
  t.is(toHex(new TisDriver(b.tis, { wait }).transmit(COMMAND)), EXCHANGE['1.2'].reply);
});

test('a TPM that never responds: TIMEOUT, and the command is cancelled', t => {
  const b = bench();
  b.tpm.reply = undefined;
  const driver = new TisDriver(b.tis, { polls: 10 });
  const error = t.throws(() => driver.transmit(COMMAND), { instanceOf: TisDriverError });
  t.is(error.code, 'TIMEOUT');
  t.is(b.tpm.cancels, 1);
  b.tpm.answer();
  t.is(b.access(), '81 81 81 81 81');
});

test('a TPM that another locality keeps: LOCALITY, and the request is withdrawn', t => {
  const b = bench();
  b.put(2, REG.ACCESS, 0x02);
  const driver = new TisDriver(b.tis, { polls: 10 });
  const error = t.throws(() => driver.transmit(COMMAND), { instanceOf: TisDriverError });
  t.is(error.code, 'LOCALITY');
  t.is(b.access(), '81 81 a1 81 81');
});

test('a TPM that a higher locality takes in between: LOCALITY, and the next command passes', t => {
  const b = bench();
  b.tpm.reply = undefined;
  const wait = (): void => {
    b.put(3, REG.ACCESS, 0x08);
    b.tpm.answer();
  };
  const driver = new TisDriver(b.tis, { polls: 10, wait });
  const error = t.throws(() => driver.transmit(COMMAND), { instanceOf: TisDriverError });
  t.is(error.code, 'LOCALITY');
  t.is(b.access(), '91 81 81 a1 81');
  b.put(3, REG.ACCESS, 0x20);
  b.tpm.reply = EXCHANGE['1.2'].reply;
  t.is(toHex(driver.transmit(COMMAND)), EXCHANGE['1.2'].reply);
});

test('where there is nothing: ABSENT', t => {
  for (const value of [0, 0xffff_ffff]) {
    const nothing: Bus = { read: (_, size) => value % 0x100 ** size, write() {} };
    const driver = new TisDriver(nothing, { polls: 10 });
    t.is(t.throws(() => driver.transmit(COMMAND), { instanceOf: TisDriverError }).code, 'ABSENT');
    t.is(t.throws(() => driver.identify(), { instanceOf: TisDriverError }).code, 'ABSENT');
  }
});

test('an empty command is refused, one shorter than it says is not waited for', t => {
  const b = bench();
  const driver = new TisDriver(b.tis, { polls: 10 });
  for (const short of ['', '00', '00c10000000c']) {
    const error = t.throws(() => driver.transmit(hex(short)), { instanceOf: TisDriverError });
    t.is(error.code, 'PROTOCOL');
    t.is(b.access(), '81 81 81 81 81');
  }
});

test('a command whose size field lies: PROTOCOL, and the next command passes', t => {
  for (const lie of ['00c10000000d000000990001', '00c10000000b000000990001']) {
    const b = bench();
    const driver = new TisDriver(b.tis, { polls: 10 });
    const error = t.throws(() => driver.transmit(hex(lie)), { instanceOf: TisDriverError });
    t.is(error.code, 'PROTOCOL');
    t.is(toHex(driver.transmit(COMMAND)), EXCHANGE['1.2'].reply);
  }
});

test('a response that claims too much is not believed', t => {
  const b = bench();
  b.tpm.reply = `00c400000100${'00'.repeat(250)}`;
  const driver = new TisDriver(b.tis, { responseMax: 128 });
  const error = t.throws(() => driver.transmit(COMMAND), { instanceOf: TisDriverError });
  t.is(error.code, 'PROTOCOL');
});
