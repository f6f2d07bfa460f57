/**
 * Goal and method as in power-cut.test.ts, with the store inside a qcow2 image: the power is cut at
 * every write and flush of the *file*, qcow2's own metadata included, and each landing is opened anew.
 * @long
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { activated, blob, contents, format, inspected, platter } from '../../lab/store/stores.js';
import {
  type BlockNode,
  checkImage,
  createQcow2,
  formatQcow2,
  openImage,
  openQcow2,
  repairImage,
  withLock,
} from '../../src/block/index.js';
import { AREA_BYTES_MIN } from '../../src/nvram/index.js';
import { everyPowerCut, SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

const imageOn = (disk: SimulatedDisk): BlockNode => openQcow2(disk, { readOnly: false });

function image(act: (node: BlockNode) => void = () => {}): SimulatedDisk {
  const disk = new SimulatedDisk(0);
  formatQcow2(disk, { size: 4 * AREA_BYTES_MIN });
  act(imageOn(disk));
  disk.flush();
  return disk;
}

/** What is found after every cut of `act`, before and after it had returned. */
function outcomes(before: SimulatedDisk, act: (node: BlockNode) => void, limit: number) {
  const found = { cut: new Set<string>(), finished: new Set<string>() };
  const cuts = everyPowerCut(platter(before), disk => act(imageOn(disk)), {
    limit,
    distinct: true,
  });
  for (const { finished, disk } of cuts) {
    (finished ? found.finished : found.cut).add(contents(imageOn(disk)));
  }
  return { cut: [...found.cut].sort(), finished: [...found.finished].sort() };
}

const formatMin = (node: BlockNode): void => format(node, { areaLength: AREA_BYTES_MIN });

test('formatting a store in an image leaves an empty one, or leaks, whenever it is cut off', t => {
  const found = new Set<string>();
  let cuts = 0;
  const act = (disk: SimulatedDisk): void => formatMin(imageOn(disk));
  for (const { disk } of everyPowerCut(platter(image()), act, { limit: 24 })) {
    // A full check each: every eleventh of some ten thousand.
    cuts += 1;
    if (cuts % 11 !== 0) continue;
    const node = imageOn(disk);
    const before = contents(node);
    found.add(before);
    if (before !== 'IMAGE') continue;
    // Leaks are all that can be there, and an image with leaks is not proven to be empty.
    const { corruptions, checkErrors } = withLock(node, undefined, checkImage);
    t.deepEqual({ corruptions, checkErrors }, { corruptions: 0, checkErrors: 0 });
    withLock(node, undefined, disk => repairImage(disk, 'leaks'));
    const { verdict, findings } = inspected(node);
    // Leaks past the end of the file are none to qemu-img, but the end of a file can be lost.
    if (verdict !== 'EMPTY') t.regex(findings.join(), /^the file was cut short/);
  }
  t.deepEqual([...found].sort(), ['EMPTY', 'EMPTY: none', 'IMAGE']);
  t.deepEqual(outcomes(image(), formatMin, 1).finished, ['EMPTY: none']);
});

test('a store in an image leaves the old blob or the new one; a finished one has stored', t => {
  const before = image(node => {
    formatMin(node);
    activated(node).store('permall', blob(700, 2));
  });
  const { cut, finished } = outcomes(
    before,
    node => activated(node).store('permall', blob(900, 3)),
    2_100,
  );
  t.deepEqual(cut, ['OK: 700 × 2', 'OK: 900 × 3']);
  t.deepEqual(finished, ['OK: 900 × 3']);
});

peerTest(
  'a store in an image with a snapshot (copy on write) leaves old or new',
  ['qemu-img'],
  t => {
    const path = join(scratch(t), 'snapshot.qcow2');
    createQcow2(path, { size: 4 * AREA_BYTES_MIN, clusterBits: 12 });
    {
      using node = openImage(path, { readOnly: false });
      formatMin(node);
      activated(node).store('permall', blob(700, 2));
    }
    execFileSync('qemu-img', ['snapshot', '-c', 'then', path]);
    const before = new SimulatedDisk(new Uint8Array(readFileSync(path)));
    const { cut, finished } = outcomes(
      before,
      node => activated(node).store('permall', blob(900, 3)),
      60,
    );
    t.deepEqual(cut, ['OK: 700 × 2', 'OK: 900 × 3']);
    t.deepEqual(finished, ['OK: 900 × 3']);
  },
);

test('a store that grows its area in an image leaves old or new', t => {
  const before = image(node => {
    formatMin(node);
    activated(node).store('permall', blob(700, 2));
  });
  const { cut, finished } = outcomes(
    before,
    node => activated(node).store('permall', blob(AREA_BYTES_MIN, 3)),
    12,
  );
  t.deepEqual(cut, ['OK: 262144 × 3', 'OK: 700 × 2']);
  t.deepEqual(finished, ['OK: 262144 × 3']);
});
