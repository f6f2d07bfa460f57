/** The life of a machine over one image: what survives a restart, a power cut, a failing disk. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch, toHex } from '../../lab/files.js';
import { openImage } from '../../src/block/index.js';
import { IoError } from '../../src/errors.js';
import {
  commands,
  HANDLE,
  NV_PER,
  nvPublic,
  RESULT,
  STARTUP,
  secretOf,
  type Tpm12Client,
  TpmResponseError,
  WELL_KNOWN_SECRET,
} from '../../src/guest/index.js';
import { NvramError } from '../../src/nvram/index.js';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { blankDisk, guestOf, inStore, machineOn, newImage } from './_machines.js';

const OWNER = secretOf('owner');
const INDEX = 0x0001_1101;
const UNWRITTEN = new Uint8Array(8).fill(0xff);

const start = (client: Tpm12Client): void => {
  client.run(commands.startup(STARTUP.CLEAR));
};
const platter = (disk: SimulatedDisk): Uint8Array => disk.read(0, disk.length);

/** A disk with an owned TPM in it, and the EK's modulus. */
function owned(): { disk: SimulatedDisk; ek: string } {
  const disk = blankDisk();
  const machine = machineOn(disk);
  machine.powerOn();
  const client = guestOf(machine);
  start(client);
  const ek = toHex(client.createEndorsementKeyPair().modulus);
  client.takeOwnership(OWNER, WELL_KNOWN_SECRET);
  client.nvDefineSpace(
    nvPublic(INDEX, 8, NV_PER.OWNERREAD | NV_PER.OWNERWRITE),
    OWNER,
    WELL_KNOWN_SECRET,
  );
  machine.powerOff();
  return { disk, ek };
}
const OWNED = owned();
const ownedDisk = (): SimulatedDisk => new SimulatedDisk(platter(OWNED.disk));

test('a guest that writes to locality 4 before TPM_Startup does not put the TPM in failure mode', t => {
  const machine = machineOn(blankDisk());
  machine.powerOn();
  // HASH_START.
  machine.tis.write(0x4028, 1, 0);
  const client = guestOf(machine);
  start(client);
  client.run(commands.selfTestFull());
  t.is(machine.tis.read(0x4000, 1), 0x81);
  machine.powerOff();
});

test('EK, ownership and NV survive a cold restart and a pulled plug; PCRs do not', t => {
  const disk = ownedDisk();
  for (const end of ['powerOff', 'cutPower'] as const) {
    const machine = machineOn(disk, { expectExisting: true });
    machine.powerOn();
    const client = guestOf(machine);
    start(client);
    t.is(toHex(client.ownerReadInternalPub(HANDLE.EK, OWNER).modulus), OWNED.ek);
    const wrong = t.throws(() => client.ownerReadInternalPub(HANDLE.EK, secretOf('other')), {
      instanceOf: TpmResponseError,
    });
    t.is(wrong.result, RESULT.AUTHFAIL);
    client.run(commands.extend(10, secretOf('x')));
    machine[end]();
    const next = machineOn(disk);
    next.powerOn();
    const later = guestOf(next);
    start(later);
    t.is(toHex(later.run(commands.pcrRead(10))), '00'.repeat(20));
    next.powerOff();
  }
});

test('a reset starts the TPM over; the stored state stays', t => {
  const machine = machineOn(ownedDisk());
  machine.powerOn();
  const client = guestOf(machine);
  start(client);
  client.run(commands.extend(10, secretOf('x')));
  machine.reset();
  const after = guestOf(machine);
  const early = t.throws(() => after.run(commands.pcrRead(10)), { instanceOf: TpmResponseError });
  t.is(early.result, RESULT.INVALID_POSTINIT);
  start(after);
  t.is(toHex(after.run(commands.pcrRead(10))), '00'.repeat(20));
  t.true(machine.info.owned);
});

test('TPM_SaveState and TPM_Startup(ST_STATE) carry PCRs over a power cycle', t => {
  const disk = ownedDisk();
  const machine = machineOn(disk);
  machine.powerOn();
  const client = guestOf(machine);
  start(client);
  const pcr = toHex(client.run(commands.extend(10, secretOf('x'))));
  client.run(commands.saveState());
  machine.powerOff();
  const next = machineOn(disk);
  next.powerOn();
  const later = guestOf(next);
  later.run(commands.startup(STARTUP.STATE));
  t.is(toHex(later.run(commands.pcrRead(10))), pcr);
});

test('an acknowledged NV write is there after a power cut at any moment, and never half of one', t => {
  // A defined index that was never written holds ones (libtpms: fixtures/transcripts/nv*.json).
  const before = UNWRITTEN;
  const after = new Uint8Array(8).fill(7);
  const act = (disk: SimulatedDisk): void => {
    const machine = machineOn(disk);
    machine.powerOn();
    const client = guestOf(machine);
    start(client);
    client.authorise(commands.nvWriteValue(INDEX, 0, after), OWNER);
  };
  const found = { cut: new Set<string>(), finished: new Set<string>() };
  for (const { finished, disk } of everyPowerCut(platter(OWNED.disk), act, { limit: 12 })) {
    const machine = machineOn(disk, { expectExisting: true });
    machine.powerOn();
    const client = guestOf(machine);
    start(client);
    const data = client.authorise(commands.nvReadValue(INDEX, 0, 8), OWNER);
    (finished ? found.finished : found.cut).add(toHex(data));
  }
  t.deepEqual([...found.finished], [toHex(after)]);
  t.deepEqual([...found.cut].sort(), [toHex(after), toHex(before)]);
});

test('a store that fails answers TPM_FAIL, and the old state is there at the next power on', t => {
  class Full extends SimulatedDisk {
    full = false;
    override write(offset: number, bytes: Uint8Array): void {
      if (this.full) throw new IoError('write', this.path, { code: 'ENOSPC' });
      super.write(offset, bytes);
    }
  }
  const disk = new Full(platter(OWNED.disk));
  const machine = machineOn(disk);
  machine.powerOn();
  const client = guestOf(machine);
  start(client);
  disk.full = true;
  const write = commands.nvWriteValue(INDEX, 0, new Uint8Array(8).fill(9));
  const failed = t.throws(() => client.authorise(write, OWNER), { instanceOf: TpmResponseError });
  t.is(failed.result, RESULT.FAIL);
  const later = t.throws(() => client.run(commands.pcrRead(0)), { instanceOf: TpmResponseError });
  t.is(later.result, RESULT.FAILEDSELFTEST);
  machine.powerOff();
  disk.full = false;

  const next = machineOn(disk, { expectExisting: true });
  next.powerOn();
  const again = guestOf(next);
  start(again);
  t.deepEqual(again.authorise(commands.nvReadValue(INDEX, 0, 8), OWNER), UNWRITTEN);
});

test('an image file that is deleted while it is in use answers TPM_FAIL, and the machine ends', t => {
  const path = join(scratch(t), 'tpm.qcow2');
  newImage(path);
  const image = openImage(path, { readOnly: false });
  const machine = machineOn(image);
  machine.powerOn();
  const client = guestOf(machine);
  start(client);
  client.run(commands.physicalPresence(0x20));
  rmSync(path);
  const failed = t.throws(() => client.createEndorsementKeyPair(), {
    instanceOf: TpmResponseError,
  });
  t.is(failed.result, RESULT.FAIL);
  // The store cannot be closed in order: that is said, and everything is released.
  t.throws(() => machine.powerOff(), { instanceOf: IoError, message: /ESTALE/ });
  t.is(machine.power, 'off');
  image.close();
});

test('a state that no engine can read is refused before anything is written', t => {
  const disk = ownedDisk();
  // The store is in order, and what is in it is not a TPM: 40 bytes of something else.
  inStore(disk, store => store.store('permall', new Uint8Array(40).fill(1)));
  const before = platter(disk);
  t.throws(() => machineOn(disk).powerOn(), { instanceOf: NvramError, code: 'CORRUPT' });
  t.deepEqual(platter(disk), before);
});

test('an image whose TPM was deleted does not become a new TPM', t => {
  const disk = ownedDisk();
  inStore(disk, store => store.delete('permall'));
  t.throws(() => machineOn(disk).powerOn(), { instanceOf: NvramError, code: 'CORRUPT' });
});

test('a disk without a TPM is refused where one is expected, and nothing is written', t => {
  const disk = blankDisk();
  const before = platter(disk);
  const machine = machineOn(disk, { expectExisting: true });
  t.throws(() => machine.powerOn(), { instanceOf: NvramError, code: 'EMPTY' });
  t.is(machine.power, 'off');
  t.deepEqual(platter(disk), before);
});
