/**
 * Fault A8 (attacks.md, row 8): files that the command line names. None of them may be the image itself;
 * a key file that others can write is refused, one that others can read is named in a warning.
 */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../../lab/files.js';
import { nvtpm, nvtpmEnded, PROGRAM } from '../../../lab/program/cli.js';
import { GET_RANDOM, sha256 } from './_verdicts.js';

const USAGE = 2;

/** An image with a TPM, and the names under which it can be reached. */
function imageWithNames(t: ExecutionContext): { image: string; names: readonly string[] } {
  const folder = scratch(t);
  const [image, hard, soft] = ['tpm.qcow2', 'hard', 'soft'].map(name => join(folder, name));
  t.is(nvtpm(['create', image!]).exit, 0);
  t.is(nvtpm(['exec', image!, GET_RANDOM]).exit, 0);
  linkSync(image!, hard!);
  symlinkSync(image!, soft!);
  return { image: image!, names: [image!, hard!, soft!, join(folder, '.', 'tpm.qcow2')] };
}

/** Runs a command that must be refused; a server that starts is ended. */
function ended(args: readonly string[]): { exit: number | null; said: string } {
  const { exit, out, err } = nvtpmEnded(args);
  return { exit, said: out + err };
}

// biome-ignore format: table
const TRACED: readonly (readonly string[])[] = [
  ['info', 'IMAGE'],
  ['check', 'IMAGE'],
  ['create', 'IMAGE'],
  ['exec', 'IMAGE', GET_RANDOM],
  ['restore', 'IMAGE', '--generation', '2'],
  ['rekey', 'IMAGE', '--remove-key'],
  ['serve', 'IMAGE', '--server', 'type=unixio,path=IMAGE.sock'],
  ['run', 'IMAGE', '--qmp', 'unix:IMAGE.qmp,server=on,wait=off'],
];
for (const args of TRACED) {
  test(`${args[0]} --trace IMAGE is USAGE, and the image is untouched`, t => {
    const { image, names } = imageWithNames(t);
    const before = sha256(image);
    for (const name of names) {
      const given = args.map(each => each.replace('IMAGE', image));
      const { exit, said } = ended([...given, '--trace', name]);
      t.is(sha256(image), before, name);
      t.is(exit, USAGE, said);
    }
  });
}

test('create --trace FILE of the same name is USAGE, and makes nothing', t => {
  const image = join(scratch(t), 'tpm.qcow2');
  const { exit, out, err } = nvtpm(['create', image, '--trace', image]);
  t.is(exit, USAGE, out + err);
  t.false(existsSync(image));
});

test('serve --pid file=IMAGE is USAGE, and the image is untouched', t => {
  const { image, names } = imageWithNames(t);
  const before = sha256(image);
  for (const name of names) {
    const args = ['--server', `type=unixio,path=${image}.sock`, '--pid', `file=${name}`];
    const { exit, said } = ended(['serve', image, ...args]);
    t.is(exit, USAGE, said);
    t.true(existsSync(name), name);
    t.is(sha256(image), before);
  }
});

/** A new encrypted image and its key file, which has `mode`. */
function encrypted(t: ExecutionContext, mode: number): { image: string; key: string } {
  const folder = scratch(t);
  const [image, key] = [join(folder, 'tpm.qcow2'), join(folder, 'the-key')];
  writeFileSync(key, '5a'.repeat(32), { mode: 0o600 });
  t.is(nvtpm(['create', image, '--key', `file=${key}`]).exit, 0);
  chmodSync(key, mode);
  return { image, key };
}

for (const mode of [0o620, 0o602, 0o666]) {
  test(`a key file of mode ${mode.toString(8)}, which others can write, is refused by name`, t => {
    const { image, key } = encrypted(t, mode);
    const before = sha256(image);
    const { exit, err } = nvtpm(['exec', image, GET_RANDOM, '--key', `file=${key}`]);
    t.true(exit === USAGE || exit === 12, `${exit}`);
    t.regex(err, /the-key/);
    t.is(sha256(image), before);
    const password = nvtpm(['create', `${image}.new`, '--key', `pwdfile=${key}`]);
    t.true(password.exit === USAGE || password.exit === 12, `${password.exit}`);
    t.false(existsSync(`${image}.new`));
  });
}

for (const mode of [0o640, 0o604]) {
  test(`a key file of mode ${mode.toString(8)}, which others can read, is named in a warning`, t => {
    const { image, key } = encrypted(t, mode);
    const { exit, err } = nvtpm(['exec', image, GET_RANDOM, '--key', `file=${key}`]);
    t.is(exit, 0, err);
    t.regex(err, /the-key/);
  });
}

test('the twin: a key file of mode 600 is used without a word', t => {
  const { image, key } = encrypted(t, 0o600);
  const { exit, err } = nvtpm(['exec', image, GET_RANDOM, '--key', `file=${key}`]);
  t.is(exit, 0);
  t.is(err, '');
});

test('remove=true leaves a key file that has opened nothing', t => {
  const { image, key } = encrypted(t, 0o600);
  writeFileSync(key, 'a5'.repeat(32));
  const wrong = nvtpm(['exec', image, GET_RANDOM, '--key', `file=${key},remove=true`]);
  t.is(wrong.exit, 6, wrong.err);
  t.true(existsSync(key));
  const missing = `${image}.missing`;
  t.is(nvtpm(['exec', missing, GET_RANDOM, '--key', `file=${key},remove=true`]).exit, 12);
  t.true(existsSync(key));
});

test('an answer that cannot be written is IO, without a stack', t => {
  const { image } = imageWithNames(t);
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM, 'exec', image, GET_RANDOM], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  t.is(status, 12, stderr);
  t.notRegex(stderr, /^ +at /m);
});
