// 5. A guest on that board
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemEntropy } from 'nvtpm';
import { commands, STARTUP, secretOf, Tpm12Client, WELL_KNOWN_SECRET } from 'nvtpm/guest';
import { TIS_BASE, TisDriver } from 'nvtpm/tis';
import { BoardTpm } from './emulator.mjs';

const OWNER = secretOf('owner');
const PCR = 10;

const folder = mkdtempSync(join(tmpdir(), 'nvtpm-emulator-'));
const tpm = new BoardTpm(join(folder, 'tpm.qcow2'));
try {
  // The guest's driver knows addresses and nothing else.
  const driver = new TisDriver(tpm, { base: TIS_BASE });
  const guest = new Tpm12Client(command => driver.transmit(command), systemEntropy);

  tpm.powerOn();
  guest.run(commands.startup(STARTUP.CLEAR));
  const ek = guest.createEndorsementKeyPair();
  guest.takeOwnership(OWNER, WELL_KNOWN_SECRET);
  const pcr = guest.run(commands.extend(PCR, secretOf('a measurement')));

  tpm.saveTo(join(folder, 'snapshot.json'));
  tpm.powerOff();
  tpm.loadFrom(join(folder, 'snapshot.json'));
  assert.deepEqual(guest.run(commands.pcrRead(PCR)), pcr);
  console.log('snapshot: the PCR is as it was');

  tpm.powerOff();
  tpm.powerOn();
  guest.run(commands.startup(STARTUP.CLEAR));
  assert.notDeepEqual(guest.run(commands.pcrRead(PCR)), pcr);
  assert.deepEqual(guest.ownerReadInternalPub(0x4000_0006, OWNER).modulus, ek.modulus);
  console.log('cold restart: the PCR is reset, the owner and the EK are there');
} finally {
  tpm.close();
  rmSync(folder, { recursive: true });
}
