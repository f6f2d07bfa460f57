/** `nvtpm check` and `create -o` beside the real qemu-img: the same verdicts and the same images. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { peerTest } from '../_peers.js';
import { cli } from './_in-process.js';

const GET_RANDOM = '00c10000000e0000004600000008';

interface Counts {
  readonly corruptions: number;
  readonly leaks: number;
  readonly 'check-errors': number;
}

/** What qemu-img counts; a count that is 0 is left out there. */
function qemuCounts(file: string): Counts {
  const { stdout } = spawnSync('qemu-img', ['check', '--output=json', file], { encoding: 'utf8' });
  return { corruptions: 0, leaks: 0, 'check-errors': 0, ...JSON.parse(stdout) };
}

async function sameCounts(t: ExecutionContext, file: string): Promise<void> {
  const { image } = (await cli(['check', file, '--json'])).json() as unknown as { image: Counts };
  t.like(qemuCounts(file), image);
}

async function imageWithTpm(t: ExecutionContext, ...options: string[]): Promise<string> {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', file, ...options])).exit, 0);
  t.is((await cli(['exec', file, GET_RANDOM])).exit, 0);
  return file;
}

/** Adds one to the refcount of a cluster: 16 bits wide, in the block at 0x20000 (default layout). */
function countOnceMore(file: string, cluster: number, by: number): void {
  const bytes = readFileSync(file);
  const at = 0x2_0000 + 2 * cluster;
  bytes.writeUInt16BE(bytes.readUInt16BE(at) + by, at);
  writeFileSync(file, bytes);
}

peerTest('leaked clusters are a warning, and a repair frees them', ['qemu-img'], async t => {
  const file = await imageWithTpm(t);
  await sameCounts(t, file);
  const { size } = statSync(file);
  appendFileSync(file, new Uint8Array(0x1_0000));
  countOnceMore(file, Math.ceil(size / 0x1_0000), 1);
  await sameCounts(t, file);
  const leaky = await cli(['check', file]);
  t.is(leaky.exit, 0);
  t.regex(leaky.out, /warning: 1 leaked cluster;/);
  t.regex((await cli(['check', file, '--repair'])).out, /repaired: 1 leaked clusters/);
  t.deepEqual(qemuCounts(file).leaks, 0);
  t.is(spawnSync('qemu-img', ['check', file]).status, 0);
});

peerTest('corruption of the image is IMAGE, with the counts of qemu-img', ['qemu-img'], async t => {
  const file = await imageWithTpm(t);
  countOnceMore(file, 4, -1);
  const run = await cli(['check', file, '--json']);
  t.is(run.exit, 11, run.out);
  await sameCounts(t, file);
  t.true(qemuCounts(file).corruptions > 0);
});

peerTest('images are made as qemu-img makes them, and hold a store', ['qemu-img'], async t => {
  const cases: [string, Record<string, unknown>][] = [
    ['cluster_size=4k', { 'cluster-size': 4096 }],
    ['compat=0.10', {}],
    ['refcount_bits=1,cluster_size=512', { 'cluster-size': 512 }],
    ['preallocation=metadata,lazy_refcounts=on', {}],
  ];
  for (const [options, expected] of cases) {
    const file = await imageWithTpm(t, '-o', options, '--size', '4M');
    const { stdout } = spawnSync('qemu-img', ['info', '--output=json', file], { encoding: 'utf8' });
    t.like(JSON.parse(stdout), { format: 'qcow2', 'virtual-size': 4 * 1024 * 1024, ...expected });
    t.is(spawnSync('qemu-img', ['check', file]).status, 0, options);
    t.is((await cli(['check', file])).exit, 0, options);
  }
  t.is((await cli(['create', join(scratch(t), 'x'), '-o', 'color=blue'])).exit, 2);
});

peerTest(
  'a TPM in an overlay, and in an image with a snapshot, leaves what is below alone',
  ['qemu-img'],
  async t => {
    const base = await imageWithTpm(t);
    const before = readFileSync(base);
    const overlay = `${base}.overlay`;
    spawnSync('qemu-img', ['create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay]);
    t.is((await cli(['exec', overlay, GET_RANDOM])).exit, 11, 'not without being allowed to');
    t.is(
      (await cli(['exec', overlay, GET_RANDOM, '--allow-backing', '--expect-existing'])).exit,
      0,
    );
    t.deepEqual(readFileSync(base), before);
    t.is(spawnSync('qemu-img', ['check', overlay]).status, 0);

    t.is(spawnSync('qemu-img', ['snapshot', '-c', 'then', base]).status, 0);
    t.is((await cli(['exec', base, GET_RANDOM, '00c10000000c4000000a0020'])).exit, 0);
    t.is(spawnSync('qemu-img', ['check', base]).status, 0);
    t.is(spawnSync('qemu-img', ['snapshot', '-a', 'then', base]).status, 0);
    t.is(
      (await cli(['check', base, '--expect-existing'])).exit,
      0,
      'the snapshot has its own state',
    );
  },
);
