/** Commands that wait for a contended image: nothing else in the process waits with them. */
import { copyFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { hex, scratch, toHex } from '../../lab/files.js';
import { type LockedNode, openImage, takeGuard } from '../../src/block/index.js';
import { commands } from '../../src/guest/index.js';
import {
  type Executor,
  executeWhenFree,
  type Machine,
  MachineError,
  retryResponse,
  type Task,
} from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import { guestOf, type More, machineOn, newImage } from './_machines.js';

const IMAGE = (() => {
  const path = join(mkdtempSync(join(tmpdir(), 'nvtpm-test-')), 'tpm.qcow2');
  newImage(path);
  using image = openImage(path);
  const machine = machineOn(image);
  machine.powerOn();
  machine.powerOff();
  return path;
})();

const STARTUP_CLEAR = hex('00c10000000c000000990001');
const GET_RANDOM = hex('00c10000000e0000004600000004');
/** TPM_PhysicalPresence(CMD_ENABLE), which is stored. */
const STORED = hex('00c10000000c4000000a0020');
const OK = 0;

/** TIS 1.3 table 14: offsets of locality 0, and what is written there. */
const REG = { ACCESS: 0x00, STS: 0x18, FIFO: 0x24 } as const;
const STS = { commandReady: 0x40, tpmGo: 0x20, dataAvail: 0x10, stsValid: 0x80 } as const;

interface Contended {
  readonly machine: Machine;
  /** Locks the image as another process does. */
  readonly contend: () => LockedNode;
}

function contended(t: ExecutionContext, more: More = {}): Contended {
  const path = join(scratch(t), 'tpm.qcow2');
  copyFileSync(IMAGE, path);
  const [image, rival] = [openImage(path), openImage(path)];
  t.teardown(() => {
    image.close();
    rival.close();
  });
  const machine = machineOn(image, more);
  machine.powerOn();
  machine.process(STARTUP_CLEAR);
  // Beside the machine's guard, as the destination of a migration.
  takeGuard(rival, 'incoming');
  return { machine, contend: () => rival.lock({ timeoutMs: 0 }) };
}

/** Gives a command to the registers of locality 0, up to tpmGo. */
function give({ tis }: Machine, command: Uint8Array): void {
  tis.write(REG.ACCESS, 1, 0x02);
  tis.write(REG.STS, 1, STS.commandReady);
  for (const byte of command) tis.write(REG.FIFO, 1, byte);
  tis.write(REG.STS, 1, STS.tpmGo);
}

const resultOf = (response: Uint8Array): number => Buffer.from(response).readUInt32BE(6);
const fetched = ({ tis }: Machine): string =>
  toHex(Uint8Array.from({ length: 10 }, () => tis.read(REG.FIFO, 1)));
/** Turns of the event loop, until it is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve));
}

test('while the image is contended STS shows execution and the event loop runs; then the answer comes', async t => {
  const { machine, contend } = contended(t, { execution: executeWhenFree() });
  const held = contend();
  give(machine, STORED);
  for (let turn = 0; turn < 20; turn += 1) {
    await new Promise(resolve => setTimeout(resolve, 1));
    t.true(machine.tis.busy);
    t.is(machine.tis.read(REG.STS, 1) & (STS.dataAvail | STS.stsValid), STS.stsValid);
  }
  t.throws(() => machine.save(), { instanceOf: MachineError, code: 'BUSY' });
  t.throws(() => machine.handOver(), { instanceOf: MachineError, code: 'BUSY' });
  held.release();
  await machine.whenIdle();
  await until(() => !machine.tis.busy);
  t.is(fetched(machine), '00c40000000a00000000');
  machine.powerOff();
});

test('an abort while a command waits: it is not run, and the registers are ready again', async t => {
  const { machine, contend } = contended(t, { execution: executeWhenFree() });
  const { generation } = machine.storeInfo;
  const held = contend();
  give(machine, STORED);
  machine.tis.write(REG.STS, 1, STS.commandReady);
  await until(() => !machine.tis.busy);
  t.is(machine.tis.read(REG.STS, 1), STS.commandReady);
  held.release();
  t.is(machine.storeInfo.generation, generation);
  // The engine is as before: the next command runs.
  t.is(resultOf(await machine.execute(STORED)), OK);
  machine.powerOff();
});

test('a command whose time to wait is over was not run: the guest is asked to send it again', async t => {
  const { machine, contend } = contended(t, { execution: executeWhenFree(5) });
  const held = contend();
  give(machine, STORED);
  await until(() => !machine.tis.busy);
  t.is(fetched(machine), toHex(retryResponse('1.2')));
  await t.throwsAsync(machine.execute(STORED), { instanceOf: LockError, code: 'LOCKED' });
  held.release();
  give(machine, STORED);
  await until(() => !machine.tis.busy);
  t.is(fetched(machine), '00c40000000a00000000');
  machine.powerOff();
});

test('execute waits without blocking, ends with its signal, and keeps the order', async t => {
  const { machine, contend } = contended(t);
  const held = contend();
  const stop = new AbortController();
  const answered: string[] = [];
  const stopped = machine.execute(STORED, 0, { signal: stop.signal });
  const all = ['first', 'second'].map(async name => {
    t.is(resultOf(await machine.execute(GET_RANDOM)), OK);
    answered.push(name);
  });
  stop.abort();
  await t.throwsAsync(stopped, { instanceOf: LockError, code: 'ABORTED' });
  t.deepEqual(answered, []);
  held.release();
  await Promise.all(all);
  t.deepEqual(answered, ['first', 'second']);
  machine.powerOff();
});

for (const end of ['powerOff', 'cutPower', 'reset'] as const) {
  test(`${end} while a command waits: it is not run any more`, async t => {
    const { machine, contend } = contended(t, { execution: executeWhenFree() });
    const held = contend();
    const waiting = machine.execute(STORED);
    give(machine, STORED);
    const behind = machine.execute(STORED);
    held.release();
    machine[end]();
    for (const each of [waiting, behind]) {
      await t.throwsAsync(each, { instanceOf: LockError, code: 'ABORTED' });
    }
    t.is(machine.power, end === 'reset' ? 'on' : 'off');
    if (end === 'reset') {
      t.false(machine.tis.busy);
      t.is(resultOf(await machine.execute(STARTUP_CLEAR)), OK);
      machine.powerOff();
    } else {
      await t.throwsAsync(machine.execute(STORED), { instanceOf: MachineError, code: 'PHASE' });
    }
  });
}

test('an executor that runs a command too late finds that its power cycle is over', async t => {
  const tasks: { task: Task; resolve: (response: Uint8Array) => void }[] = [];
  const later: Executor = task => new Promise(resolve => tasks.push({ task, resolve }));
  const { machine } = contended(t, { execution: later });
  give(machine, STORED);
  await until(() => tasks.length > 0);
  machine.reset();
  t.true(tasks[0]!.task.signal.aborted);
  t.throws(() => tasks[0]!.task.run(), { instanceOf: MachineError, code: 'PHASE' });
  machine.powerOff();
  t.throws(() => tasks[0]!.task.run(), { instanceOf: MachineError, code: 'PHASE' });
});

test('a migration waits for the command that runs', async t => {
  const { machine, contend } = contended(t, { execution: executeWhenFree() });
  const held = contend();
  give(machine, STORED);
  const idle = machine.whenIdle();
  let isIdle = false;
  void idle.then(() => {
    isIdle = true;
  });
  await new Promise(resolve => setTimeout(resolve, 5));
  t.false(isIdle);
  held.release();
  await idle;
  machine.handOver();
  machine.takeBack();
  t.is(fetched(machine), '00c40000000a00000000');
  machine.powerOff();
});

test('one contended image does not hold up the other machines of the process', async t => {
  const first = contended(t);
  const others = Array.from({ length: 20 }, () => contended(t).machine);
  const held = first.contend();
  const order: string[] = [];
  const stuck = first.machine.execute(STORED).then(() => order.push('contended'));
  await Promise.all(
    others.map(async machine => {
      t.is(resultOf(await machine.execute(STORED)), OK);
      order.push('other');
    }),
  );
  t.deepEqual(order, Array(20).fill('other'));
  held.release();
  await stuck;
  for (const machine of [first.machine, ...others]) machine.powerOff();
});

test('with the inline execution a command has run when the access returns', t => {
  const { machine } = contended(t);
  t.notThrows(() => guestOf(machine).run(commands.getRandom(4)));
  give(machine, STORED);
  t.false(machine.tis.busy);
  machine.powerOff();
});
