/** Bad input gets the outcome that names it, in the exit code and as data, and is not touched. */
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
import { openImage, withLock } from '../../src/block/index.js';

const GET_RANDOM = '00c10000000e0000004600000008';

interface Outcome {
  readonly error?: { readonly code: string; readonly exitCode: number; readonly message: string };
}

/** Starting, checking and describing `file` all end with `code`, and leave the file as it is. */
function refused(t: ExecutionContext, file: string, code: string, exit: number): void {
  const before = readFileSync(file);
  const runs: Record<string, Run> = {
    exec: nvtpm(['exec', file, GET_RANDOM, '--json']),
    check: nvtpm(['check', file, '--json']),
    info: nvtpm(['info', file, '--json']),
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
function usedImage(t: ExecutionContext): { folder: string; file: string } {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  t.is(nvtpm(['create', file]).exit, 0);
  t.is(nvtpm(['exec', file, GET_RANDOM]).exit, 0);
  return { folder, file };
}

test('what is no qcow2 is IMAGE', t => {
  const folder = scratch(t);
  const cases: Record<string, Uint8Array> = {
    empty: new Uint8Array(),
    text: Buffer.from('not an image\n'.repeat(100)),
    raw: new Uint8Array(1024 * 1024),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    refused(t, file, 'IMAGE', 11);
  }
});

test('a truncated image, and one with unknown features, are IMAGE by name', t => {
  const { folder, file } = usedImage(t);
  const cut = join(folder, 'cut.qcow2');
  copyFileSync(file, cut);
  truncateSync(cut, 60);
  refused(t, cut, 'IMAGE', 11);

  const strange = join(folder, 'strange.qcow2');
  const bytes = readFileSync(file);
  bytes[72] = 0x80; // Incompatible feature 63.
  writeFileSync(strange, bytes);
  refused(t, strange, 'IMAGE', 11);
  t.regex(nvtpm(['info', strange]).err, /63/);
});

test('a flipped byte in each region of a store that was closed in order is CORRUPT', t => {
  const { folder, file } = usedImage(t);
  const { nvram } = nvtpm(['info', file, '--json']).json() as unknown as {
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
    refused(t, copy, 'CORRUPT', 4);
  }
});

test('a disk that is too small for a store is TOO_SMALL', t => {
  const folder = scratch(t);
  const file = join(folder, 'small.qcow2');
  const run = nvtpm(['create', file, '--size', '64k', '--json']);
  t.is(run.exit, 8, run.out);
});

test('a missing directory, a directory, and a file that cannot be made are IO, with advice', t => {
  const folder = scratch(t);
  const missing = nvtpm(['create', join(folder, 'nowhere', 'tpm.qcow2'), '--json']);
  t.is(missing.exit, 12);
  t.regex(missing.out, /no such file or directory \(ENOENT\)/);
  const gone = nvtpm(['info', join(folder, 'gone.qcow2')]);
  t.is(gone.exit, 12);
  t.regex(gone.err, /gone\.qcow2.*check the path/);
  mkdirSync(join(folder, 'folder'));
  t.is(nvtpm(['info', join(folder, 'folder')]).exit, 12);
});

test('a disk that is full is IO, with advice, and no half of an image is left behind', t => {
  const folder = scratch(t);
  // The limit of the file size stands in for the end of the disk: 400 KiB, and the store wants more.
  const limited = `ulimit -f 400; "${process.execPath}" "${PROGRAM}" create tpm.qcow2 --json`;
  const { status, stdout } = spawnSync('bash', ['-c', limited], { cwd: folder, encoding: 'utf8' });
  t.is(status, 12, stdout);
  t.regex(stdout, /EFBIG.*raise the limit/);
  t.deepEqual(readdirSync(folder), []);
});

test('formatting what is formatted already is refused, and nothing is touched', t => {
  const { file } = usedImage(t);
  const before = readFileSync(file);
  t.is(nvtpm(['create', file]).exit, 1);
  t.deepEqual(readFileSync(file), before);
});

test('an empty image is a new TPM, unless one is expected', t => {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  t.is(nvtpm(['create', file]).exit, 0);
  const before = readFileSync(file);
  t.is(nvtpm(['exec', file, GET_RANDOM, '--expect-existing']).exit, 3);
  t.is(nvtpm(['check', file, '--expect-existing']).exit, 3);
  t.is(nvtpm(['check', file]).exit, 0);
  t.deepEqual(readFileSync(file), before);
});

test('what makes no sense on the command line is USAGE', t => {
  const { file } = usedImage(t);
  for (const args of [[], ['nonsense'], ['exec', file], ['exec', file, 'xyz'], ['create']]) {
    t.is(nvtpm(args).exit, 2, args.join(' '));
  }
  t.is(nvtpm(['exec', file, GET_RANDOM, '--locality', '5']).exit, 2);
  t.is(nvtpm(['create', 'x.qcow2', '--size', 'large']).exit, 2);
  t.is(nvtpm(['--help']).exit, 0);
});

test('an image that is locked is LOCKED, and the holder is named', t => {
  const { file } = usedImage(t);
  const image = openImage(file, { readOnly: false });
  const run = withLock(image, undefined, () =>
    nvtpm(['exec', file, GET_RANDOM, '--lock-timeout', '50', '--json']),
  );
  image.close();
  t.is(run.exit, 9, run.out);
  t.regex(run.out, new RegExp(`\\b${process.pid}\\b`));
});
