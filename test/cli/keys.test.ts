/** `--key` on the command line, spelt as swtpm spells it; and kept states. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { cli } from './_in-process.js';

const GET_RANDOM = '00c10000000e0000004600000008';

test('an encrypted TPM opens with its key only, and each refusal has its own exit code', async t => {
  const folder = scratch(t);
  const [file, hex, bin, pw] = ['tpm.qcow2', 'k.hex', 'k.bin', 'pw'].map(name =>
    join(folder, name),
  );
  writeFileSync(hex!, `${'5a'.repeat(32)}\n`);
  writeFileSync(bin!, Buffer.alloc(32, 0xa5));
  writeFileSync(pw!, 'a password\n');
  t.is((await cli(['create', file!, '--key', `file=${hex},format=hex`])).exit, 0);
  const exec = async (...key: string[]) => (await cli(['exec', file!, GET_RANDOM, ...key])).exit;
  t.is(await exec('--key', `file=${hex},format=hex`), 0);
  const before = readFileSync(file!);
  t.is(await exec(), 5);
  t.is(await exec('--key', `file=${bin},format=binary`), 6);
  t.is(await exec('--key', `pwdfile=${pw}`), 6);
  t.deepEqual(readFileSync(file!), before);

  const old = ['--key', `file=${hex}`];
  t.is((await cli(['rekey', file!, ...old, '--new-key', `pwdfile=${pw}`])).exit, 0);
  t.is(await exec(...old), 6);
  t.is(await exec('--key', `pwdfile=${pw}`), 0);
  t.is((await cli(['info', file!, '--json'])).json()['tpm'], null as never, 'encrypted');
  t.is((await cli(['rekey', file!, '--key', `pwdfile=${pw}`, '--remove-key'])).exit, 0);
  t.is(await exec(), 0);
});

test('another binary key does not open the store', async t => {
  const folder = scratch(t);
  const [file, key, other] = ['tpm.qcow2', 'key', 'other'].map(name => join(folder, name));
  writeFileSync(key!, Buffer.alloc(32, 1), { mode: 0o600 });
  writeFileSync(other!, Buffer.alloc(32, 2), { mode: 0o600 });
  t.is((await cli(['create', file!, '--key', `file=${key},format=binary`])).exit, 0);
  t.is((await cli(['exec', file!, GET_RANDOM, '--key', `file=${other},format=binary`])).exit, 6);
  t.is((await cli(['exec', file!, GET_RANDOM, '--key', `file=${key},format=binary`])).exit, 0);
});

test('remove=true deletes the key file once it has encrypted the store', async t => {
  const folder = scratch(t);
  const [file, key] = [join(folder, 'tpm.qcow2'), join(folder, 'key')];
  writeFileSync(key, Buffer.alloc(32, 1));
  t.is((await cli(['create', file, '--key', `file=${key},format=binary,remove=true`])).exit, 0);
  t.false(existsSync(key));
  t.is((await cli(['exec', file, GET_RANDOM])).exit, 5);
});

// biome-ignore format: table
const BAD_KEYS: readonly [key: string, exit: number, why: RegExp][] = [
  ['nonsense',                     2, /an unknown field; expected file=PATH/],
  ['file=short,format=base64',     2, /format is hex or binary/],
  ['file=short,remove=yes',        2, /remove is true or false/],
  ['file=short,file=short',        2, /file is given twice/],
  ['pwdfile=a,file=b',             2, /file and pwdfile exclude each other/],
  ['pwdfile=short,format=hex',     2, /a password file has no format/],
  ['file=',                        2, /no file is named/],
  ['remove=true',                  2, /no file is named/],
  ['file=short',                   2, /a key in hex has 64 digits/],
  ['file=short,format=binary',     2, /a binary key has 32 bytes, not 4/],
  ['pwdfile=empty',                2, /the password is empty/],
  ['pwdfile=large',                2, /5000 bytes are too many for a key file/],
  ['file=missing',                12, /cannot read the key file .*missing: there is no such file/],
];
test('an invalid key is USAGE, an unreadable file IO, and no image is made', async t => {
  const folder = scratch(t);
  const image = join(folder, 'tpm.qcow2');
  writeFileSync(join(folder, 'short'), 'abcd', { mode: 0o600 });
  writeFileSync(join(folder, 'empty'), '\n', { mode: 0o600 });
  writeFileSync(join(folder, 'large'), 'x'.repeat(5000), { mode: 0o600 });
  for (const [key, exit, why] of BAD_KEYS) {
    const given = key.replaceAll(/file=(?=\w)/g, `file=${folder}/`);
    const run = await cli(['create', image, '--key', given]);
    t.is(run.exit, exit, key);
    t.regex(run.err, why, key);
  }
  t.false(existsSync(image));
});

test('--key does not repeat its text: a password may have been given by mistake', async t => {
  const run = await cli(['create', join(scratch(t), 'x'), '--key', 'hunter2']);
  t.is(run.exit, 2);
  t.notRegex(run.err, /hunter2/);
});

test('remove=true keeps a key file that was refused', async t => {
  const folder = scratch(t);
  const [image, key] = [join(folder, 'tpm.qcow2'), join(folder, 'key')];
  writeFileSync(key, '5a'.repeat(32), { mode: 0o600 });
  const wrong = `file=${key},format=binary,remove=true`;
  t.is((await cli(['create', image, '--key', wrong])).exit, 2);
  t.true(existsSync(key));
  t.false(existsSync(image));
});

test('a key file that cannot be removed is IO, and the result is printed all the same', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  const key = 'pwdfile=/proc/self/cmdline,remove=true';
  if (!existsSync('/proc/self/cmdline')) {
    t.pass('there is no /proc here');
    return;
  }
  const run = await cli(['create', image, '--json', '--key', key]);
  t.is(run.exit, 12, run.out);
  t.like(run.json(), { made: true, error: { code: 'IO' } } as never);
  t.regex(run.out, /cannot remove the key file/);
});

test('rekey --remove-key of a store that is not encrypted says so, and writes nothing', async t => {
  const image = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', image])).exit, 0);
  for (const use of [[], ['exec', image, GET_RANDOM]]) {
    if (use.length > 0) t.is((await cli(use)).exit, 0);
    const before = readFileSync(image);
    const run = await cli(['rekey', image, '--remove-key', '--json']);
    t.is(run.exit, 0, run.out);
    t.like(run.json(), { sealed: false, changed: false } as never);
    t.regex((await cli(['rekey', image, '--remove-key'])).out, /is not encrypted/);
    t.deepEqual(readFileSync(image), before);
  }
});

test('restore makes a kept state the current one', async t => {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', file, '--keep', '2'])).exit, 0);
  // TSC_PhysicalPresence changes a flag that is stored: the second one has something to replace.
  t.is((await cli(['exec', file, '00c10000000c4000000a0020'])).exit, 0);
  t.is((await cli(['exec', file, '00c10000000c4000000a0100'])).exit, 0);
  const { nvram } = (await cli(['info', file, '--json'])).json() as unknown as {
    nvram: { kept: number[]; blobs: { sha256: string }[] };
  };
  t.true(nvram.kept.length > 0);
  t.is((await cli(['restore', file, '--generation', String(nvram.kept[0])])).exit, 0);
  const after = (await cli(['info', file, '--json'])).json() as unknown as {
    nvram: { blobs: unknown };
  };
  t.notDeepEqual(after.nvram.blobs, nvram.blobs);
  t.is((await cli(['restore', file, '--generation', '999'])).exit, 1);
  t.is((await cli(['check', file, '--expect-existing'])).exit, 0);
});
