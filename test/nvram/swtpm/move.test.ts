/**
 * `nvtpm import` and `nvtpm export`: what goes into an image, what comes out, and what is refused.
 * @long
 */
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { random } from '../../../lab/block/random.js';
import { scratch, toHex } from '../../../lab/files.js';
import { readState } from '../../../src/cli/foreign-state.js';
import { NvtpmError } from '../../../src/errors.js';
import { unwrapBlob, wrapBlob } from '../../../src/nvram/swtpm/index.js';
import { systemEntropy as entropy } from '../../../src/system.js';
import { cli } from '../../cli/_in-process.js';
import { blobOf, KEY, saved, stored, VERSIONS } from './_files.js';

const GET_RANDOM = '00c10000000e0000004600000008';
const READ_PUBEK = `00c10000001e0000007c${'11'.repeat(20)}`;

/** A folder with a state directory of swtpm, its key, and an image. */
async function given(t: ExecutionContext, version: '1.2' | '2.0') {
  const folder = scratch(t);
  const state = join(folder, 'state');
  mkdirSync(state);
  writeFileSync(join(state, `tpm${version === '2.0' ? '2' : ''}-00.permall`), stored(version));
  const key = join(folder, 'key');
  writeFileSync(key, toHex(KEY), { mode: 0o600 });
  const image = join(folder, 'tpm.qcow2');
  t.is((await cli(['create', image])).exit, 0);
  const from = ['--from', `swtpm-dir:${state}`, '--from-key', `file=${key}`];
  return { folder, state, key, image, from };
}

for (const version of VERSIONS) {
  test(`TPM ${version}: the state of a directory comes out in every form as it went in`, async t => {
    const { folder, key, image, from } = await given(t, version);
    const run = await cli(['import', image, ...from, '--json']);
    t.is(run.exit, 0, run.out);
    t.like(run.json(), { tpm: { version }, blobs: [{ name: 'permall' }] } as never);
    const blobs = join(folder, 'blobs');
    mkdirSync(blobs);
    t.is((await cli(['export', image, '--to', `blobs:${blobs}`])).exit, 0);
    t.deepEqual(new Uint8Array(readFileSync(join(blobs, 'permanent'))), saved(version));
    const linear = join(folder, 'linear');
    const to = ['--to', `swtpm-file:${linear}`, '--to-key', `file=${key}`];
    t.is((await cli(['export', image, ...to])).exit, 0);
    const other = join(folder, 'other.qcow2');
    t.is((await cli(['create', other])).exit, 0);
    const back = ['--from', `swtpm-file:${linear}`, '--from-key', `file=${key}`];
    t.is((await cli(['import', other, ...back])).exit, 0);
    const migrated = ['--to', `blobs:${blobs}`, '--to-migration-key', `file=${key}`, '--force'];
    t.is((await cli(['export', other, ...migrated])).exit, 0);
    const permanent = new Uint8Array(readFileSync(join(blobs, 'permanent')));
    t.deepEqual(unwrapBlob('x', permanent, { migrationKey: KEY }), blobOf(version));
  });
}

test('TPM 1.2: the imported TPM runs, with the EK that info names', async t => {
  const { image, from } = await given(t, '1.2');
  t.is((await cli(['import', image, ...from])).exit, 0);
  const { tpm } = (await cli(['info', image, '--json'])).json() as unknown as {
    tpm: { ek: { modulus: string } };
  };
  const run = await cli(['exec', image, READ_PUBEK]);
  t.true(run.out.includes(tpm.ek.modulus));
  // libtpms stores the modulus of the EK as it is: its bytes are in what swtpm wrote.
  t.true(toHex(blobOf('1.2')).includes(tpm.ek.modulus));
});

test('TPM 2.0: info and check name it, and exec says that there is no engine for it', async t => {
  const { image, from } = await given(t, '2.0');
  t.is((await cli(['import', image, ...from])).exit, 0);
  const info = await cli(['info', image]);
  t.regex(info.out, /tpm: 2\.0, its state only: there is no engine for it/);
  t.deepEqual((await cli(['info', image, '--json'])).json()['tpm'], {
    version: '2.0',
    engine: null,
  } as never);
  t.is((await cli(['check', image, '--expect-existing'])).exit, 0);
  const before = readFileSync(image);
  const run = await cli(['exec', image, GET_RANDOM, '--json']);
  t.is(run.exit, 1);
  t.like(run.json(), { error: { code: 'FAILED', detail: 'ENGINE' } } as never);
  t.regex(run.out, /holds a TPM 2\.0, and there is no engine for TPM 2\.0 yet/);
  t.deepEqual(readFileSync(image), before);
});

test('an image with another TPM is refused, one with the same TPM only with --replace', async t => {
  const { folder, image, from } = await given(t, '1.2');
  const other = join(folder, 'other.qcow2');
  t.is((await cli(['exec', image, GET_RANDOM])).exit, 0);
  for (const options of [[], ['--replace']]) {
    const before = readFileSync(image);
    const run = await cli(['import', image, ...from, ...options]);
    t.is(run.exit, 2);
    t.regex(
      run.err,
      /holds another TPM \(TPM 1\.2 without an EK\); import into an image of its own/,
    );
    t.deepEqual(readFileSync(image), before);
  }
  t.is((await cli(['create', other, '--keep', '2'])).exit, 0);
  t.is((await cli(['import', other, ...from])).exit, 0);
  t.is((await cli(['import', other, ...from])).exit, 0, 'the same state');
  // TSC_PhysicalPresence changes a flag that is stored.
  const presence = ['00c10000000c4000000a0020', '00c10000000c4000000a0100'];
  t.is((await cli(['exec', other, ...presence])).exit, 0);
  const refused = await cli(['import', other, ...from]);
  t.is(refused.exit, 2);
  t.regex(refused.err, /holds this TPM in another state .*--replace/);
  const replaced = await cli(['import', other, ...from, '--replace', '--json']);
  t.is(replaced.exit, 0, replaced.out);
  const { nvram } = (await cli(['info', other, '--json'])).json() as unknown as {
    nvram: { kept: number[] };
  };
  t.true(nvram.kept.length > 0, 'the replaced state is kept');
});

test('a locked directory, a backup, wrong keys and bad options are refused by name', async t => {
  const { folder, state, key, image, from } = await given(t, '1.2');
  const before = readFileSync(image);
  const pwd = join(folder, 'pwd');
  writeFileSync(pwd, 'secret-phrase', { mode: 0o600 });
  const place = ['--from', `swtpm-dir:${state}`];
  // biome-ignore format: table
  const cases: readonly [args: readonly string[], exit: number, why: RegExp][] = [
    [place,                                                       5, /encrypted with a key; give the key/],
    [[...place, '--from-key', `pwdfile=${pwd}`],                  6, /this is not its key/],
    [[...place, '--from-key', `pwdfile=${pwd},mode=aes-256-cbc`], 6, /its key has 128 bits, and the one given has 256/],
    [[...place, '--from-key', `file=${key},mode=aes-256-cbc`],    2, /invalid --from-key: the mode needs a key of 256 bits/],
    [[...place, '--from-key', `file=${key},remove=true`],         2, /remove=true is not possible/],
    [[...place, '--from-key', `file=${key},kdf=sha512`],          2, /a key has no kdf/],
    [[...place, '--from-key', 'hunter2'],                         2, /^(?!.*hunter2)/],
    [[...from, '--from-migration-key', `file=${key}`],            6, /this is no migration/],
    [['--from', `swtpm-dir:${folder}`],                           3, /there is no state of swtpm in it/],
    [['--from', 'swtpm:x'],                                       2, /expected swtpm-dir:DIR, swtpm-file:FILE or blobs:DIR/],
    [['--from', `swtpm-file:${image}`],                           4, /magic of a linear store/],
    [['--from', `blobs:${folder}`],                               3, /no permanent state/],
    [[],                                                          2, /--from is required/],
  ];
  for (const [args, exit, why] of cases) {
    const run = await cli(['import', image, ...args]);
    t.is(run.exit, exit, `${args.join(' ')}: ${run.err}`);
    t.regex(run.err, why);
    t.notRegex(run.err, /secret-phrase|cdcdcd/);
  }
  t.deepEqual(readFileSync(image), before);
});

test('export replaces nothing without --force, and never the image', async t => {
  const { folder, state, image, from } = await given(t, '1.2');
  t.is((await cli(['export', image, '--to', `swtpm-dir:${state}`])).exit, 3, 'an empty image');
  t.is((await cli(['import', image, ...from])).exit, 0);
  const before = readFileSync(join(state, 'tpm-00.permall'));
  const run = await cli(['export', image, '--to', `swtpm-dir:${state}`]);
  t.is(run.exit, 2);
  t.regex(
    run.err,
    /there is state in it; name another place, or replace what is there \(--force\)/,
  );
  t.deepEqual(readFileSync(join(state, 'tpm-00.permall')), before);
  t.is((await cli(['export', image, '--to', `swtpm-dir:${state}`, '--force'])).exit, 0);
  t.deepEqual(
    unwrapBlob('x', new Uint8Array(readFileSync(join(state, 'tpm-00.permall'))), {}),
    blobOf('1.2'),
  );
  const whole = readFileSync(image);
  t.is((await cli(['export', image, '--to', `swtpm-file:${image}`, '--force'])).exit, 2);
  t.is(
    (await cli(['export', image, '--to', `swtpm-dir:${folder}`, '--to-migration-key', 'file=x']))
      .exit,
    2,
  );
  t.deepEqual(readFileSync(image), whole);
});

test('a key can come from a descriptor', async t => {
  const { state, key, image } = await given(t, '1.2');
  const fd = openSync(key, 'r');
  const run = await cli([
    'import',
    image,
    '--from',
    `swtpm-dir:${state}`,
    '--from-key',
    `fd=${fd}`,
  ]);
  t.is(run.exit, 0, run.err);
});

const DAMAGES = 200;

/** A file with one bit flipped, a few bytes changed, or its end cut off or moved. */
function damaged(bytes: Uint8Array, seed: number): Uint8Array {
  const next = random(seed);
  const at = next(seed % 3 === 0 ? 32 : bytes.length);
  const kind = seed % 4;
  if (kind === 0) return bytes.slice(0, at);
  if (kind === 1) return Uint8Array.of(...bytes, ...entropy(1 + next(40)));
  const copy = bytes.slice();
  const count = kind === 2 ? 1 : 1 + next(8);
  for (let i = 0; i < count && at + i < copy.length; i += 1) copy[at + i]! ^= 1 << next(8);
  return copy;
}

test(`${DAMAGES} damaged state files are refused, or hold the very same state`, t => {
  const whole12 = {
    path: 'x',
    load: (name: string) => (name === 'permall' ? blobOf('1.2') : undefined),
  };
  t.deepEqual(readState(whole12).permall, blobOf('1.2'), 'undamaged');
  let refused = 0;
  for (let seed = 1; seed <= DAMAGES; seed += 1) {
    // Nothing but an engine can check the plain state of a TPM 2.0, so its files are encrypted ones.
    const version = VERSIONS[seed % 2]!;
    const isPlain = version === '1.2' && seed % 8 >= 4;
    const whole = isPlain ? wrapBlob(blobOf(version), 'stored', {}, entropy) : stored(version);
    const file = damaged(whole, seed);
    const load = (name: string) =>
      name === 'permall' ? unwrapBlob('x', file, isPlain ? {} : { key: KEY }) : undefined;
    try {
      t.deepEqual(readState({ path: 'x', load }).permall, blobOf(version), `${seed}`);
    } catch (error) {
      if (!(error instanceof NvtpmError)) throw error;
      refused += 1;
    }
  }
  t.log(`${refused} of ${DAMAGES} refused`);
  t.true(refused > DAMAGES * 0.8, `${refused}`);
});
