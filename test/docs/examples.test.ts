/**
 * The examples run as they are shown, against the package as npm packs it.
 * @long
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { peerTest } from '../_peers.js';
import { MANIFEST, pack } from '../package/_packed.js';

const packed = pack();
// Beside the package, as a user's own files are.
cpSync(join(ROOT, 'examples'), join(packed.folder, 'examples'), { recursive: true });
const example = (name: string): string => join(packed.folder, 'examples', name);

function run(t: ExecutionContext, command: string, args: readonly string[], path = ''): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: scratch(t),
    encoding: 'utf8',
    env: { ...process.env, PATH: `${path}${delimiter}${process.env['PATH']}` },
  });
  t.is(status, 0, stdout + stderr);
  return stdout;
}

const node = (t: ExecutionContext, ...args: readonly string[]): string =>
  run(t, process.execPath, args);

/** A folder with the `nvtpm` that an installation has. */
function installed(): string {
  const folder = join(packed.folder, 'bin');
  const program = join(folder, 'nvtpm');
  mkdirSync(folder, { recursive: true });
  const main = join(packed.root, MANIFEST.bin['nvtpm']!);
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  chmodSync(program, 0o755);
  return folder;
}

test('survive.mjs: the EK and the owner survive a power cut', t => {
  t.is(node(t, example('survive.mjs')), 'the same EK, the same owner\n');
});

test('embed.mjs: the registers of an embedded TPM answer', t => {
  t.is(node(t, example('embed.mjs')), '11014\n');
});

test('every-power-cut.mjs: a store survives every power cut', t => {
  t.regex(node(t, example('every-power-cut.mjs')), /^\d\d+ power cuts: /);
});

test('emulator-main.mjs: a guest of the emulator finds its state after a snapshot and a restart', t => {
  t.deepEqual(node(t, example('emulator-main.mjs')).trimEnd().split('\n'), [
    'snapshot: the PCR is as it was',
    'cold restart: the PCR is reset, the owner and the EK are there',
  ]);
});

test('persistence.test.mjs: the tests of the tutorial pass', t => {
  const report = node(t, '--test', '--test-reporter=tap', example('persistence.test.mjs'));
  t.regex(report, /^# pass 4$/m);
  t.regex(report, /^# fail 0$/m);
});

test('persistence.test.mjs notices a disk that does not flush, as the tutorial says', t => {
  const page = readFileSync(join(ROOT, 'docs/tutorial-persistence.md'), 'utf8');
  const [broken] = page.match(/^\{ limit: 50, .*\}$/m)!;
  const copy = join(packed.folder, 'examples', 'broken.test.mjs');
  const text = readFileSync(example('persistence.test.mjs'), 'utf8');
  writeFileSync(copy, text.replace('{ limit: 50 }', broken));
  const { status, stdout } = spawnSync(process.execPath, ['--test', copy], { encoding: 'utf8' });
  t.is(status, 1);
  t.regex(stdout, /^not ok 2 - /m);
  t.regex(stdout, /^# fail 1$/m);
});

test('worker.mjs: a machine in a worker answers', t => {
  t.regex(node(t, example('worker.mjs')), /^00c40000000a00000000\n.*version: '1.2'/s);
});

peerTest('move.sh: a TPM moves between two processes', ['qemu-img', 'socat'], t => {
  t.regex(run(t, 'bash', ['-e', example('move.sh')], installed()), /no fault found/);
});

test('command-line.sh: every command of the README succeeds', t => {
  const out = run(t, 'bash', ['-e', example('command-line.sh')], installed());
  t.regex(out, /no fault found/);
  t.regex(out, /encrypted with a key/);
});
