// 1. A machine that boots, and loses its power
import assert from 'node:assert/strict';
import test from 'node:test';
import { systemClock as clock, systemEntropy as entropy, Machine, Tpm12 } from 'nvtpm';
import { withLock } from 'nvtpm/block';
import { commands, NV_PER, nvPublic, STARTUP, secretOf, Tpm12Client } from 'nvtpm/guest';
import { formatStore, inspectStore } from 'nvtpm/nvram';
import { everyFlip, everyPowerCut, SimulatedDisk } from 'nvtpm/testing';
import { TisDriver } from 'nvtpm/tis';

/** Boots a machine on `disk`, lets `act` use its TPM, and switches it off by `end`. */
function boot(disk, act, end = machine => machine.cutPower()) {
  const engine = () => new Tpm12({ entropy, clock });
  const machine = new Machine({ image: disk, entropy, engine });
  machine.powerOn();
  try {
    const driver = new TisDriver(machine.tis);
    const client = new Tpm12Client(command => driver.transmit(command), entropy);
    client.run(commands.startup(STARTUP.CLEAR));
    return act(client);
  } catch (error) {
    // Where the disk failed the guest got TPM_FAIL. The machine knows why.
    throw machine.failure ?? error;
  } finally {
    end(machine);
  }
}

// 2. A TPM with an owner, and something to lose
const OWNER = secretOf('owner');
const SRK = secretOf('srk');
const INDEX = 0x0001_1101;
const OLD = 'the old value';
const NEW = 'the new value';

const write = text => client =>
  client.authorise(commands.nvWriteValue(INDEX, 0, new TextEncoder().encode(text)), OWNER);
const read = client => {
  const bytes = client.authorise(commands.nvReadValue(INDEX, 0, OLD.length), OWNER);
  return new TextDecoder().decode(bytes);
};

const disk = new SimulatedDisk(1024 * 1024);
withLock(disk, undefined, locked => formatStore(locked, { entropy }));
boot(
  disk,
  client => {
    client.createEndorsementKeyPair();
    client.takeOwnership(OWNER, SRK);
    const space = nvPublic(INDEX, OLD.length, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
    client.nvDefineSpace(space, OWNER, OWNER);
    write(OLD)(client);
  },
  machine => machine.powerOff(),
);
/** The bytes of the disk: every test below starts from a copy of them. */
const before = disk.read(0, disk.length);

// 3. What was acknowledged is there after a cold restart
test('the owner and the value survive a power cut after the write', () => {
  const copy = new SimulatedDisk(before);
  boot(copy, write(NEW));
  assert.equal(boot(copy, read), NEW);
});

// 4. The power can go at any moment
test('a power cut at any moment leaves the old value, or the new one', () => {
  const found = { cut: new Set(), finished: new Set() };
  const cuts = everyPowerCut(before, disk => boot(disk, write(NEW)), { limit: 50 });
  for (const { finished, disk } of cuts) {
    found[finished ? 'finished' : 'cut'].add(boot(disk, read));
  }
  assert.deepEqual(found, { cut: new Set([OLD, NEW]), finished: new Set([NEW]) });
});

// 5. A full disk
test('a write that the disk refuses fails, and loses nothing', () => {
  const copy = new SimulatedDisk(before);
  const refused = client => {
    copy.shortWriteAfter(0, 0, 'ENOSPC');
    write(NEW)(client);
  };
  assert.throws(() => boot(copy, refused), { code: 'IO', errno: 'ENOSPC' });
  assert.equal(boot(copy, read), OLD);
});

// 6. Damage is never taken for a new TPM
test('any flipped bit of the state is refused as CORRUPT', () => {
  const { state } = withLock(new SimulatedDisk(before), undefined, inspectStore);
  const { offset, length } = state.directory.entries.find(({ name }) => name === 'permall');
  let flips = 0;
  for (const { bytes } of everyFlip(before, { offset, length, stride: 101 })) {
    assert.throws(() => boot(new SimulatedDisk(bytes), read), { code: 'CORRUPT' });
    flips += 1;
  }
  assert.ok(flips > 100);
});
