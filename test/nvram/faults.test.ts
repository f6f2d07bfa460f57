/**
 * Failing files below a real image: the fault node at every write and flush of a store, and a real
 * file system's limit. The old state, or the new one, is there afterwards, and what was acknowledged.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { activated, blob, contents, format } from '../../lab/store/stores.js';
import { createQcow2, openFile, openImage, openQcow2 } from '../../src/block/index.js';
import { AREA_BYTES_MIN } from '../../src/nvram/index.js';
import { type Effect, FaultNode, type Operation } from '../../src/testing/index.js';

const OLD = '700 × 1';
const NEW = '900 × 2';

/** An image with a store in it that was closed in order. */
function made(folder: string): string {
  const path = join(folder, 'made.qcow2');
  createQcow2(path, { size: 4 * AREA_BYTES_MIN });
  using image = openImage(path, { readOnly: false });
  format(image, { areaLength: AREA_BYTES_MIN });
  const store = activated(image);
  store.store('permall', blob(700, 1));
  store.close();
  return path;
}

function held(path: string): string {
  using image = openImage(path, { readOnly: true });
  return contents(image).replace('OK: ', '');
}

const EFFECTS: [Operation, Effect][] = [
  ['write', { kind: 'error', errno: 'ENOSPC' }],
  ['write', { kind: 'error', errno: 'EIO' }],
  ['write', { kind: 'short', bytes: 512, errno: 'ENOSPC' }],
  ['flush', { kind: 'error', errno: 'EIO' }],
];

for (const [on, effect] of EFFECTS) {
  const errno = 'errno' in effect ? effect.errno : '';
  test(`${errno} (${effect.kind}) at every ${on} below a qcow2 leaves old or new`, t => {
    const folder = scratch(t);
    const image = made(folder);
    let failures = 0;
    for (let nth = 1; ; nth += 1) {
      const path = join(folder, `${nth}.qcow2`);
      copyFileSync(image, path);
      const fault = new FaultNode(openFile(path), [{ on, nth, effect }]);
      const node = openQcow2(fault);
      let acknowledged = false;
      try {
        activated(node).store('permall', blob(900, 2));
        acknowledged = true;
      } catch (error) {
        t.like(error, { code: 'IO', errno });
        failures += 1;
      }
      try {
        node.close();
      } catch {
        // A node whose flush failed says so once more.
      }
      const found = held(path);
      t.true(acknowledged ? found === NEW : [OLD, NEW].includes(found), `${on} ${nth}: ${found}`);
      using again = openImage(path, { readOnly: false });
      const next = activated(again);
      t.is(next.load('permall')?.length, Number(found.split(' ')[0]));
      next.close();
      if (acknowledged) break;
    }
    t.true(failures >= 3, `${failures} steps failed`);
  });
}

test('a file system that has no room for a growing store keeps the old one', t => {
  const path = made(scratch(t));
  const kib = Math.ceil(statSync(path).size / 1024) + 40;
  const grower = join(ROOT, 'dist', 'test', 'nvram', '_grower.js');
  const limited = `ulimit -f ${kib}; "${process.execPath}" "${grower}" "${path}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', limited], { encoding: 'utf8' });
  t.is(stdout.trim(), 'IO EFBIG', stderr);
  t.is(held(path), '700 × 2');
  using image = openImage(path, { readOnly: false });
  const store = activated(image);
  store.store('permall', blob(256 * 1024, 4));
  store.close();
  t.is(held(path), '262144 × 4');
});
