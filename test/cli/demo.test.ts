/**
 * The demonstration holds, and leaves an image that the real qemu-img finds in order.
 * @long
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { withLock } from '../../src/block/index.js';
import { inspectStore } from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';

test('the demonstration holds, for people and as data', t => {
  const folder = scratch(t);
  const told = nvtpm(['demo'], folder);
  t.is(told.exit, 0, told.out + told.err);
  t.regex(told.out, /Summary/);
  t.is(told.out.match(/✔/g)?.length, 6);

  // Once more where no qemu-img is found: the image is then of our own making.
  const data = nvtpm(['demo', '--force', '--json'], folder, { PATH: '' });
  t.is(data.exit, 0, data.out + data.err);
  t.is(data.json()['maker'], 'nvtpm create' as never);
  t.is(statSync(join(folder, 'demo.qcow2')).mode & 0o077, 0);
  const { holds, steps } = data.json() as unknown as {
    holds: boolean;
    steps: { holds: boolean }[];
  };
  t.true(holds);
  t.deepEqual(
    steps.map(step => step.holds),
    Array.from({ length: 6 }, () => true),
  );
});

test('the demonstration does not replace a file unless told to', t => {
  const folder = scratch(t);
  t.is(nvtpm(['create', 'demo.qcow2'], folder).exit, 0);
  const before = readFileSync(join(folder, 'demo.qcow2'));
  const run = nvtpm(['demo', '--json'], folder);
  t.is(run.exit, 2);
  t.deepEqual(readFileSync(join(folder, 'demo.qcow2')), before);
});

peerTest('qemu-img finds the image in order, and carries the store to raw', ['qemu-img'], t => {
  const folder = scratch(t);
  t.is(nvtpm(['demo'], folder).exit, 0);
  const check = spawnSync('qemu-img', ['check', 'demo.qcow2'], { cwd: folder, encoding: 'utf8' });
  t.is(check.status, 0, check.stdout + check.stderr);
  execFileSync('qemu-img', ['convert', '-O', 'raw', 'demo.qcow2', 'demo.raw'], { cwd: folder });
  const disk = new SimulatedDisk(readFileSync(join(folder, 'demo.raw')));
  const raw = withLock(disk, undefined, locked => inspectStore(locked));
  const { nvram } = nvtpm(['info', 'demo.qcow2', '--json'], folder).json() as unknown as {
    nvram: { generation: number; blobs: { name: string; sha256: string }[] };
  };
  t.is(raw.verdict, 'OK');
  t.is(raw.state?.directory.generation, nvram.generation);
  t.deepEqual(
    raw.state?.directory.entries.map(({ name, digest }) => [
      name,
      Buffer.from(digest).toString('hex'),
    ]),
    nvram.blobs.map(({ name, sha256 }) => [name, sha256]),
  );
});
