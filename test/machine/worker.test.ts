/**
 * A machine whose TPM lives in a worker: the guest's processor never waits for it.
 * @long
 */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { hex, scratch, toHex } from '../../lab/files.js';
import { openImage, takeGuard } from '../../src/block/index.js';
import { plain } from '../../src/guest/frames.js';
import { commands, STARTUP } from '../../src/guest/index.js';
import {
  IoError,
  MachineError,
  type NvtpmError,
  WorkerMachine,
  type WorkerMachineOptions,
} from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import { accept, Channel, migrate, takeBack } from '../../src/migration/index.js';
import { NvramError } from '../../src/nvram/index.js';
import { noTrace, type TraceEvent } from '../../src/trace.js';
import { connection, stored } from '../migration/_hosts.js';
import { machineOn, newImage } from './_machines.js';
import { BUGGY, type SetupData } from './_worker-setup.js';

const SETUP = new URL('./_worker-setup.js', import.meta.url);
const REG = { ACCESS: 0x00, STS: 0x18, FIFO: 0x24, HASH_START: 0x4028, HASH_END: 0x4020 } as const;
const STS = { commandReady: 0x40, tpmGo: 0x20, dataAvail: 0x10, stsValid: 0x80 } as const;

const STARTUP_CLEAR = plain(commands.startup(STARTUP.CLEAR)).request;
const CREATE_EK = plain(commands.createEndorsementKeyPair(new Uint8Array(20))).request;
const EXTEND = plain(commands.extend(10, new Uint8Array(20).fill(3))).request;
const PCR_READ = plain(commands.pcrRead(10)).request;
const GET_RANDOM = plain(commands.getRandom(4)).request;
const PRESENCE = plain(commands.physicalPresence(0x20)).request;

interface Bench {
  readonly path: string;
  readonly machine: WorkerMachine;
  readonly failures: NvtpmError[];
  readonly events: TraceEvent[];
}

function bench(
  t: ExecutionContext,
  data: Partial<SetupData> = {},
  more: Partial<WorkerMachineOptions> = {},
): Bench {
  const path = join(scratch(t), 'tpm.qcow2');
  newImage(path);
  return over(t, path, data, more);
}

function over(
  t: ExecutionContext,
  path: string,
  data: Partial<SetupData> = {},
  more: Partial<WorkerMachineOptions> = {},
): Bench {
  const failures: NvtpmError[] = [];
  const events: TraceEvent[] = [];
  const machine = new WorkerMachine({
    setup: SETUP,
    data: { path, ...data },
    failed: error => failures.push(error),
    trace: event => events.push(event),
    ...more,
  });
  t.teardown(() => machine.cutPower());
  return { path, machine, failures, events };
}

/** A machine that is on, and started. */
async function started(
  t: ExecutionContext,
  more: Partial<WorkerMachineOptions> = {},
): Promise<Bench> {
  const all = bench(t, {}, more);
  await all.machine.powerOn();
  t.is(resultOf(await all.machine.execute(STARTUP_CLEAR)), 0);
  return all;
}

/** Gives a command to the registers of locality 0, up to tpmGo. */
function give({ tis }: WorkerMachine, command: Uint8Array): void {
  tis.write(REG.ACCESS, 1, 0x02);
  tis.write(REG.STS, 1, STS.commandReady);
  for (const byte of command) tis.write(REG.FIFO, 1, byte);
  tis.write(REG.STS, 1, STS.tpmGo);
}

const resultOf = (response: Uint8Array): number => Buffer.from(response).readUInt32BE(6);
const fetched = ({ tis }: WorkerMachine): string =>
  toHex(Uint8Array.from({ length: 10 }, () => tis.read(REG.FIFO, 1)));
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

/** Nothing of the machine holds the image. */
function isReleased(t: ExecutionContext, { path, machine }: Bench): void {
  t.is(machine.power, 'off');
  using other = openImage(path);
  takeGuard(other, 'writer').release();
}

test('while a key of 2048 bits is made, the event loop runs and STS shows execution', async t => {
  const { machine } = await started(t);
  give(machine, CREATE_EK);
  let turns = 0;
  while (machine.tis.busy) {
    t.is(machine.tis.read(REG.STS, 1), STS.stsValid);
    turns += 1;
    await turn();
  }
  t.true(turns > 10, `${turns} turns`);
  t.is(machine.tis.read(REG.STS, 1), STS.stsValid | STS.dataAvail);
  t.is(fetched(machine).slice(12), '00000000');
  t.not((await machine.info()).ek, undefined);
  await machine.powerOff();
});

test('what a worker stored is there for a machine of this thread', async t => {
  const all = await started(t);
  t.is(resultOf(await all.machine.execute(CREATE_EK)), 0);
  const { ek } = await all.machine.info();
  await all.machine.powerOff();
  isReleased(t, all);
  using image = openImage(all.path);
  t.is(stored(image).ackState, 'clean');
  const machine = machineOn(image, { expectExisting: true });
  machine.powerOn();
  t.deepEqual(machine.info.ek, ek);
  machine.powerOff();
});

test('an abort during execution: the response is dropped, and the engine is in a known state', async t => {
  const { machine } = await started(t);
  give(machine, CREATE_EK);
  machine.tis.write(REG.STS, 1, STS.commandReady);
  t.true(machine.tis.busy);
  while (machine.tis.busy) await turn();
  t.is(machine.tis.read(REG.STS, 1), STS.commandReady);
  t.is(machine.tis.read(REG.FIFO, 1), 0xff);
  give(machine, GET_RANDOM);
  while (machine.tis.busy) await turn();
  t.is(fetched(machine).slice(12), '00000000');
  await machine.powerOff();
});

test('a command that is cancelled before it began is not run', async t => {
  const { machine } = await started(t);
  const stop = new AbortController();
  const long = machine.execute(CREATE_EK);
  const cancelled = machine.execute(EXTEND, 0, { signal: stop.signal });
  const last = machine.execute(PCR_READ);
  stop.abort();
  await t.throwsAsync(cancelled, { instanceOf: LockError, code: 'ABORTED' });
  t.is(resultOf(await long), 0);
  t.is(toHex(await last).slice(20), '00'.repeat(20), 'the PCR was not extended');
  await machine.powerOff();
});

test('power off during execution ends in order', async t => {
  const all = await started(t);
  give(all.machine, CREATE_EK);
  await all.machine.powerOff();
  isReleased(t, all);
  using image = openImage(all.path, { readOnly: true });
  t.is(stored(image).ackState, 'clean');
  t.throws(() => all.machine.tis, { instanceOf: MachineError, code: 'PHASE' });
});

test('a power cut during execution ends at once; what was acknowledged is there', async t => {
  const all = await started(t);
  t.is(resultOf(await all.machine.execute(PRESENCE)), 0);
  const { generation } = await all.machine.storeInfo();
  give(all.machine, CREATE_EK);
  await all.machine.cutPower();
  isReleased(t, all);
  using image = openImage(all.path, { readOnly: true });
  t.true(stored(image).generation >= generation);
  await all.machine.powerOn();
  await all.machine.powerOff();
});

test('a power cut during power on: the machine is off, and nothing is held', async t => {
  const all = bench(t);
  const on = all.machine.powerOn();
  await Promise.resolve();
  await all.machine.cutPower();
  await t.throwsAsync(on, { instanceOf: MachineError, code: 'WORKER' });
  isReleased(t, all);
});

test('a worker that dies is reported, and the machine is off with nothing held', async t => {
  const all = await started(t);
  const behind = all.machine.execute(GET_RANDOM);
  const fatal = all.machine.execute(BUGGY);
  const after = all.machine.execute(GET_RANDOM);
  t.is(resultOf(await behind), 0);
  for (const each of [fatal, after]) {
    await t.throwsAsync(each, {
      instanceOf: MachineError,
      code: 'WORKER',
      message: /a bug of this engine/,
    });
  }
  t.deepEqual(
    all.failures.map(({ code }) => code),
    ['WORKER'],
  );
  isReleased(t, all);
  await all.machine.powerOn();
  await all.machine.powerOff();
});

test('a worker that dies under a command of the registers: the guest sees a device that is off', async t => {
  const all = await started(t);
  const { tis } = all.machine;
  give(all.machine, BUGGY);
  while (all.machine.power === 'on') await turn();
  t.false(tis.busy);
  isReleased(t, all);
});

test('failures keep their class and their fields', async t => {
  const missing = over(t, join(scratch(t), 'no.qcow2'));
  const io = await t.throwsAsync(missing.machine.powerOn(), { instanceOf: IoError, code: 'IO' });
  t.is(io.errno, 'ENOENT');
  const empty = bench(t, { expectExisting: true });
  const refused = await t.throwsAsync(empty.machine.powerOn(), {
    instanceOf: NvramError,
    code: 'EMPTY',
  });
  t.is(refused.outcome, 'EMPTY');
  t.true(refused.findings.length > 0);
  isReleased(t, empty);
  const broken = bench(t, { broken: true });
  await t.throwsAsync(broken.machine.powerOn(), {
    instanceOf: MachineError,
    code: 'WORKER',
    message: /a bug of this setup/,
  });
  using other = openImage(empty.path);
  using _guard = takeGuard(other, 'writer');
  const locked = await t.throwsAsync(empty.machine.powerOn(), {
    instanceOf: LockError,
    code: 'LOCKED',
  });
  t.is(locked.holder?.pid, process.pid);
});

test('a measured launch through locality 4 reaches the TPM, and its flag the registers', async t => {
  const { machine } = await started(t, { locality4: true });
  const { tis } = machine;
  t.is(tis.read(REG.ACCESS, 1) & 0x01, 1, 'not established');
  tis.write(REG.HASH_START, 1, 0);
  for (const byte of hex('616263')) tis.write(0x4024, 1, byte);
  tis.write(REG.HASH_END, 1, 0);
  const pcr17 = await machine.execute(plain(commands.pcrRead(17)).request);
  t.is(tis.read(REG.ACCESS, 1) & 0x01, 0);
  // PCR 17 is SHA-1 of 20 zeros and SHA-1('abc') (TPM Main Part 1, dynamic launch).
  t.is(toHex(pcr17).slice(20), 'ccd5bd41458de644ac34a2478b58ff819bef5acf');
  await machine.powerOff();
});

test('reset, save and load, in the order in which they are asked for', async t => {
  const all = await started(t);
  const { machine } = all;
  const pcr = toHex(await machine.execute(EXTEND));
  const [saved] = await Promise.all([machine.save(), machine.powerOff(), machine.powerOn()]);
  await machine.reset();
  await machine.powerOff();
  await machine.load(saved);
  t.is(toHex(await machine.execute(PCR_READ)), pcr);
  give(machine, GET_RANDOM);
  await t.throwsAsync(machine.save(), { instanceOf: MachineError, code: 'BUSY' });
  await machine.powerOff();
  t.deepEqual(
    all.events.flatMap(event => (event.event === 'power' ? [event.to] : [])),
    ['on', 'off', 'on', 'reset', 'off', 'on', 'off'],
  );
  isReleased(t, all);
});

test('a machine moves from one worker to another, and is taken back where it may not', async t => {
  const source = await started(t);
  const pcr = toHex(await source.machine.execute(EXTEND));
  await source.machine.handOver();
  t.is(source.machine.power, 'handed over');
  t.deepEqual(await takeBack(source.machine), { is: 'back' });
  t.is(toHex(await source.machine.execute(PCR_READ)), pcr);

  const target = over(t, source.path);
  const [near, far] = await connection(t);
  const [, found] = await Promise.all([
    accept(target.machine, new Channel(far), { trace: noTrace }),
    migrate(source.machine, new Channel(near)),
  ]);
  t.is(found.end, 'moved');
  t.is(source.machine.power, 'gone');
  t.is(toHex(await target.machine.execute(PCR_READ)), pcr);
  await t.throwsAsync(source.machine.powerOn(), { instanceOf: MachineError, code: 'PHASE' });
  await source.machine.powerOff();
  t.is(source.machine.power, 'gone');
  await target.machine.powerOff();
  isReleased(t, target);
});
