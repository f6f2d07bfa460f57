/**
 * Goal: no image, however damaged, makes us do anything but refuse or work. Method: seeded damage
 * to the metadata of sound images; a sample here, tens of thousands with scripts/fuzz-qcow2.ts.
 * @long
 */
import test from 'ava';
import { damaged, use, type Victim } from '../../lab/block/fuzz.js';
import { ownTemplates, qemuTemplates } from '../../lab/block/power-cut.js';
import { scratch } from '../../lab/files.js';
import { peerTest } from '../_peers.js';

function survive(victims: readonly Victim[], seeds: number): number {
  let refusals = 0;
  for (let seed = 1; seed <= seeds; seed += 1) {
    refusals += use(damaged(victims[seed % victims.length]!, seed)).refusals;
  }
  return refusals;
}

test('our own images, damaged', t => {
  t.true(survive(ownTemplates(), 300) > 100, 'the damage does harm');
});

peerTest('images of QEMU, damaged', ['qemu-img'], t => {
  t.true(survive(qemuTemplates(scratch(t)), 300) > 100, 'the damage does harm');
});

test('this very test notices an error that is none of ours', t => {
  t.throws(() => use(undefined as unknown as Uint8Array), { instanceOf: TypeError });
});
