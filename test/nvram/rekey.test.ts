/**
 * Goal: once a key was added and the store is active again, no secret is in the clear anywhere on the
 * disk, whenever the change was cut off.
 * Method: five marked secrets that were stored in five ways, and every power cut of the change.
 * @long
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { MemoryNode } from '../../lab/block/memory.js';
import { scratch } from '../../lab/files.js';
import { qemuImg } from '../../lab/peers/qemu.js';
import {
  activated,
  format,
  formatted,
  inspected,
  KEY,
  OTHER_KEY,
  opened,
  platter,
} from '../../lab/store/stores.js';
import {
  type BlockNode,
  formatQcow2,
  openImage,
  openQcow2,
  openRaw,
} from '../../src/block/index.js';
import { AREA_BYTES_MIN } from '../../src/nvram/index.js';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

const marked = (name: string, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => `[${name}!]`.charCodeAt(index % (name.length + 3)));

const SECRETS = ['stored', 'replaced', 'deleted', 'kept', 'slack'];

/** The secrets that are in the clear. */
const exposedIn = (file: Uint8Array): string[] => {
  const bytes = Buffer.from(file);
  return SECRETS.filter(name => bytes.includes(`[${name}!]`));
};
const exposed = (disk: SimulatedDisk): string[] => exposedIn(platter(disk));

/** A plain store that holds each secret in its own way. */
function plain(): SimulatedDisk {
  const disk = formatted({ historyLength: 1 });
  fill(disk);
  return disk;
}

function fill(node: BlockNode): void {
  const store = activated(node);
  store.store('deleted', marked('deleted', 800));
  store.delete('deleted');
  // A long blob, and short ones that reuse the beginning of its pages later.
  store.store('permall', marked('slack', 4000));
  for (let i = 0; i < 4; i += 1) store.store('permall', marked(`short${i}`, 60));
  store.store('permall', marked('replaced', 700));
  store.store('permall', marked('short', 50));
  store.store('permall', marked('kept', 300));
  store.store('permall', marked('stored', 500));
  store.close();
}

test('adding a key leaves no secret in the clear, in the unused ends of pages either', t => {
  const disk = plain();
  t.deepEqual(exposed(disk), SECRETS, 'all of them are there before');
  const store = activated(disk);
  t.deepEqual(store.rekey(KEY), { unreachable: [] });
  t.deepEqual(exposed(disk), []);
  t.deepEqual(store.load('permall'), marked('stored', 500));
  store.restore(store.kept[0]!);
  t.deepEqual(store.load('permall'), marked('kept', 300));
  store.close();
  t.false(inspected(disk).state!.directory.unscrubbed);
});

test('a key that was being added when the power went is completed by the next activation', t => {
  const counts = { plain: 0, completed: 0 };
  const act = (disk: SimulatedDisk): void => {
    activated(disk).rekey(KEY);
  };
  for (const { finished, disk } of everyPowerCut(platter(plain()), act, { limit: 8 })) {
    if (opened(new SimulatedDisk(platter(disk))) !== 'KEY_REQUIRED') {
      counts.plain += 1;
      if (finished) return t.fail('the key is gone');
      continue;
    }
    counts.completed += 1;
    const next = activated(disk, { key: KEY });
    t.deepEqual(next.load('permall'), marked('stored', 500));
    const left = exposed(disk);
    if (left.length > 0) return t.fail(`in the clear: ${left.join(', ')}`);
  }
  t.log(counts);
  t.true(counts.plain > 10 && counts.completed > 10);
});

/** A qcow2 image with a plain store that holds each secret, on a file of the given kind. */
function filledImage<T extends SimulatedDisk | MemoryNode>(file: T, clusterBits: number): T {
  formatQcow2(file, { size: 2 * AREA_BYTES_MIN, clusterBits });
  using node = openQcow2(file);
  format(node, { areaLength: AREA_BYTES_MIN, historyLength: 1 });
  fill(node);
  return file;
}

test('a key that was being added to an image when the power went leaves nothing in its file', t => {
  const before = filledImage(new SimulatedDisk(0), 12);
  before.flush();
  let cuts = 0;
  const act = (disk: SimulatedDisk): void => {
    activated(openQcow2(disk)).rekey(KEY);
  };
  for (const { disk } of everyPowerCut(platter(before), act, { limit: 4 })) {
    cuts += 1;
    const node = openQcow2(disk);
    if (opened(node) !== 'KEY_REQUIRED') continue;
    t.deepEqual(activated(node, { key: KEY }).load('permall'), marked('stored', 500));
    const left = exposed(disk);
    if (left.length > 0) return t.fail(`in the clear: ${left.join(', ')}`);
  }
  t.true(cuts > 200, `${cuts} cuts`);
});

peerTest(
  'clusters that a snapshot has left are erased; a snapshot that is there is named',
  ['qemu-img'],
  t => {
    const path = join(scratch(t), 'a.qcow2');
    writeFileSync(path, filledImage(new MemoryNode(), 16).view);
    qemuImg('snapshot', '-c', 'gone', path);
    {
      using node = openImage(path, { readOnly: false });
      fill(node);
    }
    qemuImg('snapshot', '-d', 'gone', path);
    t.deepEqual(exposedIn(readFileSync(path)), SECRETS);
    {
      using node = openImage(path, { readOnly: false });
      const store = activated(node);
      t.deepEqual(store.rekey(KEY), { unreachable: [] });
      store.close();
    }
    t.deepEqual(exposedIn(readFileSync(path)), []);
    qemuImg('snapshot', '-c', 'kept', path);
    using node = openImage(path, { readOnly: false });
    const store = activated(node, { key: KEY });
    t.deepEqual(store.rekey(OTHER_KEY), { unreachable: [{ kind: 'snapshot', name: 'kept' }] });
  },
);

test('a backing file is named', t => {
  const disk = new MemoryNode(new Uint8Array(2 * AREA_BYTES_MIN));
  const below = openRaw(disk);
  format(below, { areaLength: AREA_BYTES_MIN });
  fill(below);
  const file = new MemoryNode();
  formatQcow2(file, { size: 2 * AREA_BYTES_MIN, backing: { name: 'base.raw', format: 'raw' } });
  const backing = openRaw(new MemoryNode(disk.view.slice(), true));
  const store = activated(openQcow2(file, { backing }));
  const unreachable = [{ kind: 'backing file', name: 'base.raw' }];
  t.deepEqual(store.rekey(KEY), { unreachable });
  t.deepEqual(exposedIn(file.view), [], 'the overlay itself holds none');
});
