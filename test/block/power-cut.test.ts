/**
 * Goal: whenever the power goes, an image loses space at worst: no reference to what is not there,
 * and everything that was flushed. Method: random lives with a cut, on every kind of image; a
 * sample here, thousands with scripts/power-cut-qcow2.ts.
 * @long
 */
import test from 'ava';
import {
  liveAndDie,
  ownTemplates,
  qemuTemplates,
  type Template,
} from '../../lab/block/power-cut.js';
import { scratch } from '../../lab/files.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

function faultsOf(templates: readonly Template[], seeds: number, Disk = SimulatedDisk): string[] {
  const faults: string[] = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const template = templates[seed % templates.length]!;
    const { faults: found } = liveAndDie(template, seed, Disk);
    faults.push(...found.map(fault => `seed ${seed}, ${template.name}: ${fault}`));
  }
  return faults;
}

test('our own images survive power cuts', t => {
  t.deepEqual(faultsOf(ownTemplates(), 100), []);
});

peerTest('images of QEMU survive them: snapshots, overlays, compressed ones', ['qemu-img'], t => {
  const templates = qemuTemplates(scratch(t));
  t.deepEqual(faultsOf(templates, 160), []);
  // A refcount block that counted before it was counted itself: found among thousands of seeds.
  const all = [...ownTemplates(), ...templates];
  t.deepEqual(liveAndDie(all[30_673 % all.length]!, 30_673).faults, []);
});

test('this very test notices a disk that never flushes', t => {
  class Forgetful extends SimulatedDisk {
    override flush(): void {}
  }
  t.true(faultsOf(ownTemplates(), 40, Forgetful).length > 0);
});
