/** `nvtpm exec` runs commands through the registers and prints what the TPM answers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';

const PCR_READ = '00c10000000e0000001500000000';

test('responses are printed in hex, one a line', t => {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is(nvtpm(['create', file]).exit, 0);
  // What swtpm 0.7.1 answers (fixtures/transcripts): PCR 0 after TPM_Startup(ST_CLEAR), a second
  // TPM_Startup, an ordinal that nobody knows.
  const { exit, out } = nvtpm([
    'exec',
    file,
    PCR_READ,
    '00c10000000c000000990001',
    '00c10000000a00000fff',
  ]);
  t.is(exit, 0);
  t.deepEqual(out.trim().split('\n'), [
    `00c40000001e00000000${'00'.repeat(20)}`,
    '00c40000000a00000026',
    '00c40000000a0000000a',
  ]);
  const bare = nvtpm(['exec', file, PCR_READ, '--no-startup', '--json']);
  t.deepEqual(bare.json()['responses'], ['00c40000000a00000026'] as never);
});

test('malformed commands get the TPM’s own error code, and the device stays up', t => {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is(nvtpm(['create', file]).exit, 0);
  // Result codes as swtpm 0.7.1 gives them (fixtures/transcripts/frames*.json).
  const cases: Record<string, string> = {
    '00c10000000d00000015000000': '00c40000000a00000019', // A byte too few.
    '00c10000000f000000150000000000': '00c40000000a00000019', // A byte too many.
    '00c20000000e0000001500000000': '00c40000000a0000001e', // A wrong tag.
    '00c10000000a00000fff': '00c40000000a0000000a', // An unknown ordinal.
    '00c1000000ff0000001500000000': '00c40000000a00000019', // A size field that says more.
    '00c10000000c0000001500000000': '00c40000000a00000019', // One that says less.
  };
  const { exit, out } = nvtpm(['exec', file, ...Object.keys(cases), PCR_READ]);
  t.is(exit, 0);
  t.deepEqual(out.trim().split('\n'), [
    ...Object.values(cases),
    `00c40000001e00000000${'00'.repeat(20)}`,
  ]);
});

test('a trace tells of locks, writes, registers and commands, and its file is the owner’s only', t => {
  const folder = scratch(t);
  const file = join(folder, 'tpm.qcow2');
  const trace = join(folder, 'trace.jsonl');
  t.is(nvtpm(['create', file]).exit, 0);
  t.is(nvtpm(['exec', file, PCR_READ, '--trace', trace]).exit, 0);
  const events = readFileSync(trace, 'utf8')
    .trim()
    .split('\n')
    .map(line => (JSON.parse(line) as { event: string }).event);
  for (const kind of [
    'lock',
    'unlock',
    'read',
    'validate',
    'write',
    'flush',
    'command',
    'register',
  ]) {
    t.true(events.includes(kind), kind);
  }
});
