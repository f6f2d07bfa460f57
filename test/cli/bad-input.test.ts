/**
 * Bad input gets the outcome that names it, in the exit code and as data, and is not touched.
 * @long
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm, PROGRAM, type Run } from '../../lab/program/cli.js';
import { createQcow2, openImage, withLock } from '../../src/block/index.js';
import { cli } from './_in-process.js';

const GET_RANDOM = '00c10000000e0000004600000008';

interface Outcome {
  readonly error?: { readonly code: string; readonly exitCode: number; readonly message: string };
}

/** Starting, checking and describing `file` all end with `code`, and leave the file as it is. */
async function refused(
  t: ExecutionContext,
  file: string,
  code: string,
  exit: number,
): Promise<void> {
  const before = readFileSync(file);
  const runs: Record<string, Run> = {
    exec: await cli(['exec', file, GET_RANDOM, '--json']),
    check: await cli(['check', file, '--json']),
    info: await cli(['info', file, '--json']),
  };
  for (const [command, run] of Object.entries(runs)) {
    const { error } = run.json() as unknown as Outcome;
    t.is(run.exit, exit, `${command}: ${run.out}${run.err}`);
    t.is(error?.code, code, command);
    t.is(error?.exitCode, exit, command);
    t.true(error!.message.includes(file), `${command} names the file: ${error?.message}`);
  }
  t.deepEqual(readFileSync(file), before, 'the file is as it was');
}

/** An image with a TPM in it that was switched off in order. */
async function usedImage(t: ExecutionContext): Promise<{ folder: string; file: string }> {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  t.is((await cli(['create', file])).exit, 0);
  t.is((await cli(['exec', file, GET_RANDOM])).exit, 0);
  return { folder, file };
}

test('a file that is not a qcow2 image is IMAGE', async t => {
  const folder = scratch(t);
  const cases: Record<string, Uint8Array> = {
    empty: new Uint8Array(),
    text: Buffer.from('not an image\n'.repeat(100)),
    raw: new Uint8Array(1024 * 1024),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    await refused(t, file, 'IMAGE', 11);
  }
});

test('a truncated image, and one with unknown features, are IMAGE, and the feature is named', async t => {
  const { folder, file } = await usedImage(t);
  const cut = join(folder, 'cut.qcow2');
  copyFileSync(file, cut);
  truncateSync(cut, 60);
  await refused(t, cut, 'IMAGE', 11);

  const strange = join(folder, 'strange.qcow2');
  const bytes = readFileSync(file);
  bytes[72] = 0x80; // Incompatible feature 63.
  writeFileSync(strange, bytes);
  await refused(t, strange, 'IMAGE', 11);
  t.regex((await cli(['info', strange])).err, /63/);
});

test('a flipped byte in any region of a cleanly closed store is CORRUPT', async t => {
  const { folder, file } = await usedImage(t);
  const { nvram } = (await cli(['info', file, '--json'])).json() as unknown as {
    nvram: { clean: boolean; regions: { what: string; offset: number; length: number }[] };
  };
  t.true(nvram.clean);
  t.true(nvram.regions.length >= 4);
  for (const { what, offset, length } of nvram.regions) {
    const copy = join(folder, `${what.replaceAll(/\W/g, '-')}.qcow2`);
    copyFileSync(file, copy);
    const image = openImage(copy, { readOnly: false });
    withLock(image, undefined, disk => {
      const at = offset + Math.floor(length / 3);
      disk.write(at, Uint8Array.of(disk.read(at, 1)[0]! ^ 0x10));
    });
    image.close();
    await refused(t, copy, 'CORRUPT', 4);
  }
});

test('a disk that is too small for a store is TOO_SMALL', async t => {
  const file = join(scratch(t), 'small.qcow2');
  createQcow2(file, { size: 0x1_0000 });
  const run = await cli(['create', file, '--json']);
  t.is(run.exit, 8, run.out);
  t.regex(run.out, /at least 262144 bytes, the disk has 65536/);
});

test('a missing directory, a directory, and a file that cannot be made are IO, with advice', async t => {
  const folder = scratch(t);
  const missing = await cli(['create', join(folder, 'nowhere', 'tpm.qcow2'), '--json']);
  t.is(missing.exit, 12);
  t.regex(missing.out, /no such file or directory \(ENOENT\)/);
  const gone = await cli(['info', join(folder, 'gone.qcow2')]);
  t.is(gone.exit, 12);
  t.regex(gone.err, /gone\.qcow2.*check the path/);
  const [image, file] = [join(folder, 'tpm.qcow2'), join(folder, 'file')];
  writeFileSync(file, '');
  t.is((await cli(['create', image])).exit, 0);
  const below = await cli(['info', image, '--trace', join(file, 'trace')]);
  t.is(below.exit, 12, below.err);
  t.regex(below.err, /cannot open .*file\/trace: a part of the path is not a directory/);
  t.is((await cli(['info', join(file, 'tpm.qcow2'), '--trace', join(folder, 't')])).exit, 12);
  mkdirSync(join(folder, 'folder'));
  t.is((await cli(['info', join(folder, 'folder')])).exit, 12);
});

test('a full disk is IO, with advice, and no partial image is left behind', async t => {
  const folder = scratch(t);
  // The limit of the file size stands in for the end of the disk: 400 KiB, and the store wants more.
  const limited = `ulimit -f 400; "${process.execPath}" "${PROGRAM}" create tpm.qcow2 --json`;
  const { status, stdout } = spawnSync('bash', ['-c', limited], { cwd: folder, encoding: 'utf8' });
  t.is(status, 12, stdout);
  t.regex(stdout, /EFBIG.*raise the limit/);
  t.deepEqual(readdirSync(folder), []);
});

test('formatting an image that has a store is refused, and the file is unchanged', async t => {
  const { file } = await usedImage(t);
  const before = readFileSync(file);
  t.is((await cli(['create', file])).exit, 1);
  t.deepEqual(readFileSync(file), before);
});

test('an empty image is a new TPM, unless one is expected', async t => {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  t.is((await cli(['create', file])).exit, 0);
  const before = readFileSync(file);
  t.is((await cli(['exec', file, GET_RANDOM, '--expect-existing'])).exit, 3);
  t.is((await cli(['check', file, '--expect-existing'])).exit, 3);
  t.is((await cli(['check', file])).exit, 0);
  t.deepEqual(readFileSync(file), before);
});

test('an invalid command line is USAGE', async t => {
  const { file } = await usedImage(t);
  for (const args of [[], ['nonsense'], ['exec', file], ['exec', file, 'xyz'], ['create']]) {
    t.is((await cli(args)).exit, 2, args.join(' '));
  }
  t.is((await cli(['exec', file, GET_RANDOM, '--locality', '5'])).exit, 2);
  t.is((await cli(['create', 'x.qcow2', '--size', 'large'])).exit, 2);
  t.is((await cli(['--help'])).exit, 0);
});

test('an image that is locked is LOCKED, and the holder is named', async t => {
  const { file } = await usedImage(t);
  const image = openImage(file, { readOnly: false });
  // A process of its own: the holder is named only to another one.
  const run = withLock(image, undefined, () =>
    nvtpm(['exec', file, GET_RANDOM, '--lock-timeout', '50', '--json']),
  );
  image.close();
  t.is(run.exit, 9, run.out);
  t.regex(run.out, new RegExp(`\\b${process.pid}\\b`));
});
