/** Transitions that fail: afterwards the phase is the old one, or off with everything released. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch, toHex } from '../../lab/files.js';
import { type BlockNode, openImage, takeGuard, withLock } from '../../src/block/index.js';
import { commands, STARTUP, secretOf } from '../../src/guest/index.js';
import { IoError, Machine, MachineError, type MachineState, StateError } from '../../src/index.js';
import { LockError } from '../../src/lock/index.js';
import { makeManifest, readManifest } from '../../src/migration/index.js';
import { MemoryStore, NvramError } from '../../src/nvram/index.js';
import { systemEntropy as entropy } from '../../src/system.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { TisStateError } from '../../src/tis/index.js';
import { type EngineStep, Engines } from './_engines.js';
import { blankDisk, guestOf, inStore, type More, machineOn, newImage } from './_machines.js';

interface Held {
  readonly path: string;
  readonly image: BlockNode;
  readonly machine: Machine;
  readonly engines: Engines;
}

/** A machine over an image file, which is on. */
function running(t: ExecutionContext, more: More = {}): Held {
  const path = join(scratch(t), 'tpm.qcow2');
  newImage(path);
  const image = openImage(path);
  t.teardown(() => image.close());
  const engines = new Engines();
  const machine = machineOn(image, { engine: engines.make, ...more });
  machine.powerOn();
  return { path, image, machine, engines };
}

/** Nothing is held: another descriptor can have the image, and so can a new machine on this one. */
function isReleased(t: ExecutionContext, { path, image, engines }: Held): void {
  t.is(engines.open, 0);
  using other = openImage(path);
  takeGuard(other, 'writer').release();
  takeGuard(image, 'writer').release();
}

/** A state that an engine refuses is a corrupt store; what a factory throws is the embedder's own. */
const isRefusal = (failing: EngineStep, error: unknown): boolean =>
  failing === 'make'
    ? error instanceof StateError
    : error instanceof NvramError && error.code === 'CORRUPT';

for (const failing of ['make', 'init', 'initialised'] as const) {
  test(`a reset that fails (${failing}) leaves the machine off, with nothing held (B5)`, t => {
    const held = running(t);
    held.engines.failing = failing;
    t.true(
      isRefusal(
        failing,
        t.throws(() => held.machine.reset()),
      ),
    );
    t.is(held.machine.power, 'off');
    isReleased(t, held);
    held.machine.powerOff();
    held.machine.powerOn();
    held.machine.powerOff();
    isReleased(t, held);
  });
}

for (const failing of ['make', 'init', 'initialised'] as const) {
  test(`a power on that fails (${failing}) writes nothing and leaves nothing held (B16)`, t => {
    const held = running(t);
    held.machine.powerOff();
    const { generation } = infoOf(held);
    held.engines.failing = failing;
    t.true(
      isRefusal(
        failing,
        t.throws(() => held.machine.powerOn()),
      ),
    );
    t.is(held.machine.power, 'off');
    isReleased(t, held);
    t.is(infoOf(held).generation, generation + 1, 'the look itself is one activation');
  });
}

/** What the store says after an activation of its own. */
function infoOf({ image }: Held): { generation: number } {
  let generation = 0;
  inStore(image, store => {
    generation = store.generation;
  });
  return { generation };
}

test('an engine that came up is closed where the epoch cannot be written after it (B16)', t => {
  const first = blankDisk();
  const engines = new Engines();
  const setUp = machineOn(first, { engine: engines.make });
  setUp.powerOn();
  setUp.powerOff();
  const content = withLock(first, undefined, disk => disk.read(0, disk.length));
  let failures = 0;
  for (let step = 0; ; step += 1) {
    const disk = new SimulatedDisk(content);
    disk.failAfter(step, () => new IoError('write', disk.path, { code: 'EIO' }));
    const machine = machineOn(disk, { engine: engines.make });
    try {
      machine.powerOn();
      machine.cutPower();
      break;
    } catch (error) {
      t.true(error instanceof IoError, String(error));
      t.is(machine.power, 'off');
      t.is(engines.open, 0);
      failures += 1;
    }
  }
  t.true(failures >= 3, 'acknowledgement record, flush and commit');
  t.is(engines.open, 0);
});

test('a machine that is handed over, or gone, has no store and runs no command (B7)', t => {
  const held = running(t);
  const { machine } = held;
  const state = machine.handOver();
  const refused = { instanceOf: MachineError, code: 'PHASE' } as const;
  const demandRefused = (): void => {
    t.throws(() => machine.storeInfo, refused);
    t.throws(() => machine.process(new Uint8Array(10)), refused);
    t.throws(() => machine.save(), refused);
    t.throws(() => machine.reset(), refused);
    t.throws(() => machine.powerOn(), refused);
    t.throws(() => machine.tis, refused);
  };
  demandRefused();
  // Another machine takes it over.
  using other = openImage(held.path);
  const target = machineOn(other);
  target.takeOver(state);
  t.throws(() => machine.takeBack(), { instanceOf: NvramError, code: 'FENCED' });
  t.is(machine.power, 'gone');
  t.is(held.engines.open, 0);
  demandRefused();
  t.throws(() => machine.takeBack(), refused);
  machine.powerOff();
  machine.cutPower();
  t.is(machine.power, 'gone');
  target.powerOff();
  isReleased(t, held);
});

test('a power off that cannot close the store releases everything, and says why', t => {
  const held = running(t);
  using other = openImage(held.path);
  takeGuard(other, 'incoming');
  const lock = other.lock();
  const { machine } = held;
  const impatient = machineOn(held.image, { wait: { timeoutMs: 0 } });
  lock.release();
  machine.powerOff();
  impatient.powerOn();
  const again = other.lock();
  t.throws(() => impatient.powerOff(), { instanceOf: LockError, code: 'LOCKED' });
  again.release();
  t.is(impatient.power, 'off');
  isReleased(t, held);
});

test('the interrupt line is down once the machine is off', t => {
  const levels: boolean[] = [];
  const { machine } = running(t, { irq: level => levels.push(level) });
  // ACCESS.requestUse; INT_ENABLE: globalIntEnable, commandReadyEnable; STS.commandReady.
  machine.tis.write(0x0000, 1, 0x02);
  machine.tis.write(0x0008, 4, 0x8000_0080);
  machine.tis.write(0x0018, 1, 0x40);
  t.is(levels.at(-1), true);
  machine.powerOff();
  t.is(levels.at(-1), false);
});

test('registers that outlive their power cycle have no TPM behind them', t => {
  const { machine } = running(t);
  const { tis } = machine;
  machine.powerOff();
  tis.write(0x0000, 1, 0x02);
  tis.write(0x0018, 1, 0x40);
  for (const byte of [0x00, 0xc1, 0, 0, 0, 10, 0, 0, 0, 0x50]) tis.write(0x0024, 1, byte);
  tis.write(0x0018, 1, 0x20);
  const response = Uint8Array.from({ length: 10 }, () => tis.read(0x0024, 1));
  t.is(toHex(response), '00c40000000a00000009', 'TPM_FAIL');
});

test('a reset keeps the register device', t => {
  const { machine } = running(t);
  const { tis } = machine;
  machine.reset();
  t.is(machine.tis, tis);
  machine.powerOff();
});

test('failures of the store are heard before the guest is answered', t => {
  const disk = blankDisk();
  const heard: string[] = [];
  const machine = machineOn(disk, { failed: error => heard.push(`option ${error.code}`) });
  const stop = machine.onFailure(error => heard.push(`listener ${error.code}`));
  machine.powerOn();
  const guest = guestOf(machine);
  guest.run(commands.startup(STARTUP.CLEAR));
  disk.failAfter(0, () => new IoError('write', disk.path, { code: 'EIO' }));
  t.throws(() => guest.run(commands.physicalPresence(0x20)));
  t.deepEqual(heard.slice(0, 2), ['option IO', 'listener IO']);
  stop();
  const before = heard.length;
  t.throws(() => guest.run(commands.physicalPresence(0x20)));
  t.deepEqual(
    heard.slice(before).filter(each => each.startsWith('listener')),
    [],
  );
});

/** A machine whose PCR 10 was extended. */
function measured(t: ExecutionContext): Held & { pcr: string } {
  const held = running(t);
  const guest = guestOf(held.machine);
  guest.run(commands.startup(STARTUP.CLEAR));
  return { ...held, pcr: toHex(guest.run(commands.extend(10, secretOf('measured')))) };
}
const pcrOf = (machine: Machine): string => toHex(guestOf(machine).run(commands.pcrRead(10)));

test('save and load: a snapshot resumes where it was, as often as the image holds what it held', t => {
  const held = measured(t);
  const { machine, pcr } = held;
  const saved = machine.save();
  t.is(pcrOf(machine), pcr, 'the machine goes on');
  guestOf(machine).run(commands.extend(10, secretOf('later')));
  machine.powerOff();
  // As JSON and back, as an emulator's file has it.
  const copy = readManifest(JSON.parse(JSON.stringify(makeManifest(saved))));
  t.deepEqual(copy, saved);
  for (let times = 0; times < 2; times += 1) {
    machine.load(copy);
    t.is(pcrOf(machine), pcr);
    machine.cutPower();
  }
  isReleased(t, held);
});

test('a snapshot is refused by name where the image is newer, older, or another', t => {
  const held = measured(t);
  const { machine } = held;
  const early = machine.save();
  guestOf(machine).run(commands.physicalPresence(0x20));
  guestOf(machine).run(commands.physicalPresence(0x10));
  const late = machine.save();
  machine.powerOff();
  const refusal = (state: MachineState): string => {
    const before = infoOf(held).generation;
    const error = t.throws(() => machine.load(state), {
      instanceOf: MachineError,
      code: 'REFUSED',
    });
    t.is(machine.power, 'off');
    t.is(infoOf(held).generation, before + 1, 'the look itself is one activation');
    return error.message;
  };
  t.regex(refusal(early), /not so: the image is not newer than the snapshot/);
  const { store } = late;
  const blobs = { ...store.blobs, permall: '00'.repeat(32) };
  const beyond = { ...store, generation: store.generation + 100, blobs };
  t.regex(refusal({ ...late, store: beyond }), /not so: the image is not older than the snapshot/);
  t.regex(
    refusal({ ...late, store: { ...store, uuid: 'ab'.repeat(16) } }),
    /not so: the state is of this store/,
  );
  t.regex(
    refusal({ ...late, engine: { name: 'libtpms', version: '1.2' } }),
    /not so: the state is of an engine of this name/,
  );
  t.regex(refusal({ ...late, version: 99 }), /not so: the state has version 1/);
  machine.load(late);
  machine.powerOff();
  isReleased(t, held);
});

test('a snapshot within a dynamic launch is refused by a machine without locality 4, which stays off', t => {
  const held = measured(t);
  held.machine.powerOff();
  const launching = machineOn(held.image, { locality4: true });
  launching.powerOn();
  guestOf(launching).run(commands.startup(STARTUP.CLEAR));
  const [HASH_START, HASH_END] = [0x4028, 0x4020];
  launching.tis.write(HASH_START, 1, 0);
  const saved = launching.save();
  launching.powerOff();
  const { generation } = infoOf(held);
  t.throws(() => held.machine.load(saved), {
    instanceOf: TisStateError,
    code: 'MISMATCH',
    message: /not so: locality 4 neither has the TPM nor waits for it/,
  });
  t.is(held.machine.power, 'off');
  t.is(infoOf(held).generation, generation + 1, 'the look itself is one activation');
  launching.load(saved);
  launching.tis.write(HASH_END, 1, 0);
  t.notThrows(() => guestOf(launching).run(commands.pcrRead(17)));
  launching.powerOff();
  isReleased(t, held);
});

test('a snapshot is not taken while the guest holds a command that runs, and not of a machine that is off', t => {
  const { machine } = running(t);
  machine.powerOff();
  t.throws(() => machine.save(), { instanceOf: MachineError, code: 'PHASE' });
});

test('a machine over a store in memory: no guard, no lock, and the same life', async t => {
  const engines = new Engines();
  let store = new MemoryStore();
  const options = { entropy, engine: engines.make, store: () => store };
  const machine = new Machine({ ...options, expectExisting: true });
  t.throws(() => machine.powerOn(), { instanceOf: NvramError, code: 'EMPTY' });
  t.is(engines.open, 0);
  store = new MemoryStore();
  const fresh = new Machine(options);
  fresh.powerOn();
  const guest = guestOf(fresh);
  guest.run(commands.startup(STARTUP.CLEAR));
  const pcr = toHex(guest.run(commands.extend(10, secretOf('measured'))));
  t.is((await fresh.execute(new Uint8Array(10))).length, 10);
  t.like(fresh.storeInfo, { path: 'memory', generation: 0, epoch: 0, encrypted: false });
  t.throws(() => fresh.handOver(), { instanceOf: MachineError, code: 'UNSUPPORTED' });
  t.is(fresh.power, 'on');
  const saved = fresh.save();
  fresh.powerOff();
  store = new MemoryStore({ blobs: store.snapshot() });
  fresh.load(saved);
  t.is(pcrOf(fresh), pcr);
  fresh.cutPower();
  store = new MemoryStore({ blobs: new Map([['permall', new Uint8Array(4)]]) });
  t.throws(() => fresh.load(saved), { instanceOf: MachineError, code: 'REFUSED' });
  t.is(engines.open, 0);
});
