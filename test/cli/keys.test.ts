/** `--key` on the command line, spelt as swtpm spells it; and kept states. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';

const GET_RANDOM = '00c10000000e0000004600000008';

test('a sealed TPM opens with its key only, and each refusal has its own exit code', t => {
  const folder = scratch(t);
  const [file, hex, bin, pw] = ['tpm.qcow2', 'k.hex', 'k.bin', 'pw'].map(name =>
    join(folder, name),
  );
  writeFileSync(hex!, `${'5a'.repeat(32)}\n`);
  writeFileSync(bin!, Buffer.alloc(32, 0xa5));
  writeFileSync(pw!, 'a password\n');
  t.is(nvtpm(['create', file!, '--key', `file=${hex},format=hex`]).exit, 0);
  const exec = (...key: string[]) => nvtpm(['exec', file!, GET_RANDOM, ...key]).exit;
  t.is(exec('--key', `file=${hex},format=hex`), 0);
  const before = readFileSync(file!);
  t.is(exec(), 5);
  t.is(exec('--key', `file=${bin},format=binary`), 6);
  t.is(exec('--key', `pwdfile=${pw}`), 6);
  t.deepEqual(readFileSync(file!), before);

  const old = ['--key', `file=${hex}`];
  t.is(nvtpm(['rekey', file!, ...old, '--new-key', `pwdfile=${pw}`]).exit, 0);
  t.is(exec(...old), 6);
  t.is(exec('--key', `pwdfile=${pw}`), 0);
  t.is(nvtpm(['info', file!, '--json']).json()['tpm'], null as never, 'sealed: nothing is shown');
  t.is(nvtpm(['rekey', file!, '--key', `pwdfile=${pw}`, '--remove-key']).exit, 0);
  t.is(exec(), 0);
});

test('remove=true deletes the key file after reading', t => {
  const folder = scratch(t);
  const [file, key] = [join(folder, 'tpm.qcow2'), join(folder, 'key')];
  writeFileSync(key, Buffer.alloc(32, 1));
  t.is(nvtpm(['create', file, '--key', `file=${key},format=binary,remove=true`]).exit, 0);
  t.false(existsSync(key));
  t.is(nvtpm(['exec', file, GET_RANDOM]).exit, 5);
});

test('a key that makes no sense is USAGE, a missing file is IO, and neither makes an image', t => {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  writeFileSync(join(folder, 'short'), 'abcd');
  const create = (key: string) => nvtpm(['create', file, '--key', key], folder).exit;
  for (const key of [
    'nonsense',
    'file=short',
    'file=short,format=base64',
    'pwdfile=a,file=b',
    'file=short,format=binary',
  ]) {
    t.is(create(key), 2, key);
  }
  t.is(create('file=missing'), 12);
  t.false(existsSync(file));
});

test('kept states come back by restore', t => {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is(nvtpm(['create', file, '--keep', '2']).exit, 0);
  // TSC_PhysicalPresence changes a flag that is stored: the second one has something to replace.
  t.is(nvtpm(['exec', file, '00c10000000c4000000a0020']).exit, 0);
  t.is(nvtpm(['exec', file, '00c10000000c4000000a0100']).exit, 0);
  const { nvram } = nvtpm(['info', file, '--json']).json() as unknown as {
    nvram: { kept: number[]; blobs: { sha256: string }[] };
  };
  t.true(nvram.kept.length > 0);
  t.is(nvtpm(['restore', file, '--generation', String(nvram.kept[0])]).exit, 0);
  const after = nvtpm(['info', file, '--json']).json() as unknown as { nvram: { blobs: unknown } };
  t.notDeepEqual(after.nvram.blobs, nvram.blobs);
  t.is(nvtpm(['restore', file, '--generation', '999']).exit, 1);
  t.is(nvtpm(['check', file, '--expect-existing']).exit, 0);
});
