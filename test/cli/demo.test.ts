/**
 * The demonstration: it holds, it fits a terminal, and it ends well where it cannot go on.
 * @long
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { PROGRAM, type Run } from '../../lab/program/cli.js';
import { openImage, takeGuard, withLock } from '../../src/block/index.js';
import { wrap } from '../../src/cli/wrap.js';
import { inspectStore } from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { peerTest } from '../_peers.js';
import { cli, Sink } from './_in-process.js';
import { ownedImage } from './attacks/_owned.js';

interface Demo {
  readonly maker: string;
  readonly holds: boolean;
  readonly steps: readonly { readonly holds: boolean; readonly evidence: readonly string[] }[];
}

/** A process in a folder, which is its folder for temporary files too. */
async function ran(
  folder: string,
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Run> {
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', chunk => (out += chunk));
  child.stderr.on('data', chunk => (err += chunk));
  const [exit] = await once(child, 'close');
  return { exit, out, err, json: () => JSON.parse(out) };
}

const demoIn = (folder: string, args: readonly string[], env?: Record<string, string>) =>
  ran(folder, process.execPath, [PROGRAM, 'demo', ...args], env);

/** The demonstration under a limit of the file size, in KiB. */
const demoWithin = (folder: string, limit: number, args: string, env?: Record<string, string>) => {
  const command = `ulimit -f ${limit}; "${process.execPath}" "${PROGRAM}" demo ${args}`;
  return ran(folder, '/bin/bash', ['-c', command], env);
};

const shared = mkdtempSync(join(tmpdir(), 'nvtpm-test-'));
test.after.always(() => rmSync(shared, { recursive: true, force: true }));
const image = join(shared, 'demo.qcow2');
/** One demonstration for several tests, in a terminal of 80 columns. */
let run: Promise<Run> | undefined;
const demonstration = (): Promise<Run> =>
  (run ??= cli(['demo', '--image', image], { stdout: new Sink(80), env: { NO_COLOR: '1' } }));

test('it holds: for people in 80 columns, with what to do next', async t => {
  const { exit, out, err } = await demonstration();
  t.is(exit, 0, out + err);
  t.is(out.match(/^✔/gm)?.length, 6);
  t.regex(out, /^All 6 steps hold\.$/m);
  t.true(out.includes(`nvtpm info ${image}`));
  const lines = out.split('\n').filter(line => !line.startsWith('Next: '));
  t.true(lines.length > 18);
  t.deepEqual(
    lines.filter(line => line.length > 80),
    [],
  );
  // Each EK stands below the one that it is compared with, in the same column.
  const [before = '', now = ''] = lines.filter(line => /EK (before|now)/.test(line));
  t.is(now, `${before.replace('before', 'now   ')} = equal`);
});

test('it holds where there is no qemu-img, as data, and in place of an earlier one', async t => {
  await demonstration();
  const folder = scratch(t);
  const own = join(folder, 'demo.qcow2');
  copyFileSync(image, own);
  const before = readFileSync(own);
  const refused = await demoIn(folder, ['--json']);
  t.is(refused.exit, 2);
  t.like(refused.json(), { error: { code: 'USAGE' } } as never);
  t.deepEqual(readFileSync(own), before);

  const done = await demoIn(folder, ['--json', '--force'], { PATH: '' });
  t.is(done.exit, 0, done.out + done.err);
  const { maker, holds, steps } = done.json() as unknown as Demo;
  t.is(maker, 'nvtpm create');
  t.true(holds);
  t.deepEqual(
    steps.map(step => step.holds),
    Array.from({ length: 6 }, () => true),
  );
  t.notDeepEqual(readFileSync(own), before);
  t.is(statSync(own).mode & 0o077, 0);
  t.deepEqual(readdirSync(folder), ['demo.qcow2']);
});

test('into a pipe that is closed: a quiet end, and no files are left', async t => {
  const folder = scratch(t);
  const child = spawn(process.execPath, [PROGRAM, 'demo'], {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  let err = '';
  child.stderr.on('data', chunk => (err += chunk));
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const [code, signal] = await closed;
  t.is(signal, null);
  t.is(code, 12);
  t.is(err, '');
  t.deepEqual(readdirSync(folder), ['demo.qcow2']);
});

test('a signal ends it, its steps, and its folder', async t => {
  const folder = scratch(t);
  const child = spawn(process.execPath, [PROGRAM, 'demo'], {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [, signal] = await closed;
  t.is(signal, 'SIGTERM');
  t.deepEqual(readdirSync(folder), ['demo.qcow2']);
});

test('on a full disk: it stops at the first step that fails, and says why', async t => {
  const folder = scratch(t);
  // The limit of the file size stands in for the end of the disk: an empty image fits, a store does not.
  for (const more of ['', '--json']) {
    const { exit, out, err } = await demoWithin(folder, 400, `--force ${more}`);
    const said = out + err;
    t.is(exit, 12, said);
    t.regex(said, /step ‘blank’: cannot write demo\.qcow2: .*EFBIG/);
    t.notRegex(said, /undefined|✔|✘|\bat .*\.js/);
    if (more !== '') t.like(JSON.parse(out), { error: { code: 'IO', detail: 'STEP' } });
  }
  t.deepEqual(readdirSync(folder), ['demo.qcow2']);
});

const paths: Readonly<Record<string, (folder: string) => string>> = {
  'a directory that does not exist': folder => join(folder, 'nope', 'x.qcow2'),
  'a file as a directory': folder => {
    writeFileSync(join(folder, 'file'), '');
    return join(folder, 'file', 'x.qcow2');
  },
};
for (const [what, pathIn] of Object.entries(paths)) {
  for (const path of [undefined, '']) {
    const maker = path === undefined ? 'qemu-img' : 'nvtpm create';
    test(`${what} is IO in one sentence, where ${maker} makes images`, async t => {
      const folder = scratch(t);
      const missing = pathIn(folder);
      const env = path === undefined ? {} : { PATH: path };
      const words = await demoIn(folder, ['--image', missing], env);
      t.is(words.exit, 12, words.out);
      t.is(words.out, '');
      t.regex(words.err, /^nvtpm: cannot (create|use) .*x\.qcow2: [^\n]*\n$/);
      const data = await demoIn(folder, ['--image', missing, '--json'], env);
      t.like(data.json(), { error: { code: 'IO', exitCode: 12, detail: 'IO' } } as never);
    });
  }
}

/** What --force must not replace, and why. */
const KEPT: Readonly<
  Record<string, (t: ExecutionContext, path: string) => Promise<RegExp> | RegExp>
> = {
  'a text': (_, path) => {
    writeFileSync(path, 'a letter\n');
    return /not an image that can be read/;
  },
  'a directory': (_, path) => {
    mkdirSync(path);
    return /not a regular file/;
  },
  'an image with another owner’s TPM': async (_, path) => {
    await ownedImage(path);
    return /its TPM has another owner/;
  },
  'an encrypted store': async (t, path) => {
    const key = `${path}.key`;
    writeFileSync(key, 'a password', { mode: 0o600 });
    await ownedImage(path, '--key', `pwdfile=${key}`);
    t.truthy(key);
    return /the state in it cannot be read/;
  },
  'an image in use': async (t, path) => {
    t.is((await cli(['create', path])).exit, 0);
    const image = openImage(path, { readOnly: false });
    takeGuard(image, 'writer');
    t.teardown(() => image.close());
    return /locked|in use/i;
  },
};
for (const [what, make] of Object.entries(KEPT)) {
  test(`--force leaves ${what} alone`, async t => {
    const folder = scratch(t);
    const path = join(folder, 'kept');
    const why = await make(t, path);
    const isFile = statSync(path).isFile();
    const before = isFile ? readFileSync(path) : undefined;
    const files = readdirSync(folder);
    const run = await cli(['demo', '--image', path, '--force']);
    t.true(run.exit === 2 || run.exit === 9, `${run.exit}`);
    t.regex(run.err, why);
    if (before !== undefined) t.deepEqual(readFileSync(path), before);
    t.deepEqual(readdirSync(folder), files);
  });
}

test('--force keeps the earlier image where a new one cannot be made', async t => {
  const folder = scratch(t);
  const path = join(folder, 'demo.qcow2');
  t.is((await cli(['create', path])).exit, 0);
  const before = readFileSync(path);
  const { exit, out, err } = await demoWithin(folder, 100, '--force', { PATH: '/nowhere' });
  t.is(exit, 12, out + err);
  t.deepEqual(readFileSync(path), before);
  t.deepEqual(readdirSync(folder), ['demo.qcow2']);
});

test('lines are wrapped at spaces; words stay whole', t => {
  t.deepEqual(wrap('', 10), ['']);
  t.deepEqual(wrap('one two', 10), ['one two']);
  t.deepEqual(wrap('one two three four', 10), ['one two', '  three', '  four']);
  t.deepEqual(wrap('abcdefghijklmnop qr', 10), ['abcdefghijklmnop', '  qr']);
  t.deepEqual(wrap('a  b', 10), ['a  b'], 'columns are kept');
});

peerTest(
  '--qemu: it holds in a real QEMU, in place of an earlier one',
  ['qemu-system-x86_64'],
  async t => {
    const folder = scratch(t);
    for (const force of [[], ['--force']]) {
      const { exit, err, json } = await demoIn(folder, ['--qemu', '--json', ...force]);
      t.is(exit, 0, err);
      const { holds, steps } = json() as unknown as Demo;
      t.true(holds);
      t.deepEqual(
        steps.map(step => step.holds),
        [true, true],
      );
    }
    t.deepEqual(readdirSync(folder), ['demo.qcow2']);
  },
);

test('--qemu without a QEMU says what to install, and makes no image', async t => {
  const folder = scratch(t);
  const { exit, err } = await demoIn(folder, ['--qemu'], { PATH: folder });
  t.is(exit, 2);
  t.regex(err, /needs qemu-system-x86_64; on Debian, install qemu-system-x86/);
  t.deepEqual(readdirSync(folder), []);
});

peerTest(
  'qemu-img finds the image in order, and carries the store to raw',
  ['qemu-img'],
  async t => {
    t.is((await demonstration()).exit, 0);
    const check = spawnSync('qemu-img', ['check', image], { encoding: 'utf8' });
    t.is(check.status, 0, check.stdout + check.stderr);
    const raw = join(scratch(t), 'demo.raw');
    execFileSync('qemu-img', ['convert', '-O', 'raw', image, raw]);
    const disk = new SimulatedDisk(readFileSync(raw));
    const found = withLock(disk, undefined, locked => inspectStore(locked));
    const { nvram } = (await cli(['info', image, '--json'])).json() as unknown as {
      nvram: { generation: number; blobs: { name: string; sha256: string }[] };
    };
    t.is(found.verdict, 'OK');
    t.is(found.state?.directory.generation, nvram.generation);
    t.deepEqual(
      found.state?.directory.entries.map(({ name, digest }) => [
        name,
        Buffer.from(digest).toString('hex'),
      ]),
      nvram.blobs.map(({ name, sha256 }) => [name, sha256]),
    );
  },
);
