/**
 * State goes from an image to swtpm 0.7.1 and back: both find the same EK and the same owner.
 * @long
 */
import { join } from 'node:path';
import { scratch, toHex } from '../../lab/files.js';
import { swtpm } from '../../lab/peers/swtpm.js';
import { nvtpm } from '../../lab/program/cli.js';
import { createQcow2, openImage, withLock } from '../../src/block/index.js';
import { fingerprint } from '../../src/cli/fingerprint.js';
import {
  commands,
  HANDLE,
  STARTUP,
  secretOf,
  Tpm12Client,
  WELL_KNOWN_SECRET,
} from '../../src/guest/index.js';
import { openStore } from '../../src/nvram/index.js';
import { systemEntropy as entropy } from '../../src/system.js';
import { peerTest } from '../_peers.js';
import { guestOf, machineOn } from '../machine/_machines.js';

peerTest(
  'the permall of the demonstration’s image starts in swtpm, with its EK and its owner',
  ['swtpm'],
  t => {
    const folder = scratch(t);
    const run = nvtpm(['demo', '--json'], folder);
    t.is(run.exit, 0, run.out);
    const { steps } = run.json() as unknown as { steps: { data: { ek: string } }[] };
    using image = openImage(join(folder, 'demo.qcow2'), { readOnly: true });
    const permall = withLock(image, undefined, disk => openStore(disk).load('permall')!);
    const peer = swtpm(t, permall);
    const client = new Tpm12Client(command => peer.transmit(command), entropy);
    client.run(commands.startup(STARTUP.CLEAR));
    const owner = secretOf('the owner of the demonstration');
    t.is(fingerprint(client.ownerReadInternalPub(HANDLE.EK, owner).modulus), steps[0]!.data.ek);
    t.throws(() => client.ownerReadInternalPub(HANDLE.EK, secretOf('somebody else')));
  },
);

peerTest('a permall of swtpm starts from an image, with its EK and its owner', ['swtpm'], t => {
  const peer = swtpm(t);
  const theirs = new Tpm12Client(command => peer.transmit(command), entropy);
  theirs.run(commands.startup(STARTUP.CLEAR));
  const ek = toHex(theirs.createEndorsementKeyPair().modulus);
  const owner = secretOf('owner');
  theirs.takeOwnership(owner, WELL_KNOWN_SECRET);

  const path = join(scratch(t), 'tpm.qcow2');
  createQcow2(path, { size: 16 * 1024 * 1024 });
  using image = openImage(path, { readOnly: false });
  const store = withLock(image, undefined, disk =>
    openStore(disk, { entropy, whenEmpty: 'format' }).activate(),
  );
  store.store('permall', peer.permall()!);
  store.close();
  const machine = machineOn(image, { expectExisting: true });
  machine.powerOn();
  const ours = guestOf(machine);
  ours.run(commands.startup(STARTUP.CLEAR));
  t.is(toHex(ours.ownerReadInternalPub(HANDLE.EK, owner).modulus), ek);
  machine.powerOff();
});
