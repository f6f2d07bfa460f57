/** The steps of QEMU's own test of its TIS, on our device and, where it is installed, on QEMU's. */
import test from 'ava';
import { Qemu, QTEST_PEERS } from '../../lab/peers/qtest.js';
import { TIS_BASE } from '../../src/tis/index.js';
import { peerTest } from '../_peers.js';
import { bench, EXCHANGE } from './_device.js';
import { suite, type World } from './_steps.js';

test('the steps of tpm-tis-test: our device', async t => {
  const { tis, tpm } = bench({ personality: '2.0' });
  tpm.reply = EXCHANGE['2.0'].reply;
  const world: World = {
    read: async (address, size) => tis.read(address - TIS_BASE, size),
    write: async (address, size, value) => tis.write(address - TIS_BASE, size, value),
  };
  await suite(t, world, '2.0');
});

peerTest('the steps of tpm-tis-test: QEMU', QTEST_PEERS, async t => {
  const qemu = await Qemu.start('2.0');
  t.teardown(() => qemu.close());
  await suite(t, qemu, '2.0');
});
