/** `nvtpm info`: what people see, in colour and not. */

import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { createQcow2, openImage } from '../../src/block/index.js';
import { peerTest } from '../_peers.js';
import { cli, Sink } from './_in-process.js';

const ESCAPE = '\u001b[';

peerTest('sizes are those of qemu-img', ['qemu-img'], async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', image, '--size', '8M'])).exit, 0);
  const { stdout } = spawnSync('qemu-img', ['info', '--output=json', image], { encoding: 'utf8' });
  const theirs = JSON.parse(stdout);
  const { image: ours } = (await cli(['info', image, '--json'])).json() as Record<string, unknown>;
  t.like(ours, { virtualSize: theirs['virtual-size'], actualSize: theirs['actual-size'] });
  const { out } = await cli(['info', image]);
  t.regex(out, /^image: qcow2 v3, 8 MiB \([\d.]+ MiB on disk\), clusters of 64 KiB$/m);
  t.is(statSync(image).blocks * 512, theirs['actual-size']);
});

test('colours are for terminals; NO_COLOR, TERM=dumb and --json turn them off', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  t.is((await cli(['create', image])).exit, 0);
  const trace = join(folder, 'trace');
  const refused = '00c10000000a00000fff';
  t.is((await cli(['exec', image, refused, '--trace', trace])).exit, 0);
  for (const args of [
    ['info', image],
    ['check', image],
    ['trace', trace],
    ['exec', image, refused],
  ]) {
    const coloured = async (env: Record<string, string>, stdout: Sink, ...more: string[]) =>
      (await cli([...args, ...more], { env, stdout })).out.includes(ESCAPE);
    t.true(await coloured({ TERM: 'xterm' }, new Sink(80)), args[0]);
    t.true(await coloured({ FORCE_COLOR: '1' }, new Sink()));
    t.false(await coloured({ TERM: 'xterm' }, new Sink()));
    t.false(await coloured({ TERM: 'dumb' }, new Sink(80)));
    t.false(await coloured({ NO_COLOR: '1', FORCE_COLOR: '1' }, new Sink(80)));
    t.false(await coloured({ TERM: 'xterm' }, new Sink(80), '--json'));
  }
});

test('an overlay is refused with the option that opens it', async t => {
  const folder = scratch(t);
  const [base, overlay] = [join(folder, 'base.qcow2'), join(folder, 'overlay.qcow2')];
  t.is((await cli(['create', base])).exit, 0);
  using below = openImage(base, { readOnly: true });
  createQcow2(overlay, { size: 2 ** 20, backing: { name: 'base.qcow2', format: 'qcow2' } });
  t.truthy(below);
  for (const args of [
    ['info', overlay],
    ['exec', overlay, '00c10000000e0000004600000008'],
    ['serve', overlay, '--server', `type=unixio,path=${overlay}.sock`],
  ]) {
    const run = await cli(args);
    t.is(run.exit, 11, args[0]);
    t.regex(run.err, /overlay of "base\.qcow2".*--allow-backing opens it/);
  }
  t.is((await cli(['info', overlay, '--allow-backing'])).exit, 0);
});
