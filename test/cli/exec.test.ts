/** `nvtpm exec` runs commands through the registers and prints what the TPM answers. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { cli } from './_in-process.js';

const PCR_READ = '00c10000000e0000001500000000';

async function madeImage(t: ExecutionContext): Promise<string> {
  const file = join(scratch(t), 'tpm.qcow2');
  t.is((await cli(['create', file])).exit, 0);
  return file;
}

test('responses are printed in hex, one a line', async t => {
  const file = await madeImage(t);
  // What swtpm 0.7.1 answers (fixtures/transcripts): PCR 0 after TPM_Startup(ST_CLEAR), a second
  // TPM_Startup, an unknown ordinal.
  const { exit, out } = await cli([
    'exec',
    file,
    PCR_READ,
    '00c10000000c000000990001',
    '00c10000000a00000fff',
  ]);
  t.is(exit, 0);
  t.deepEqual(out.trim().split('\n'), [
    `00c40000001e00000000${'00'.repeat(20)}`,
    '00c40000000a00000026  TPM_INVALID_POSTINIT',
    '00c40000000a0000000a  TPM_BAD_ORDINAL',
  ]);
  const bare = await cli(['exec', file, PCR_READ, '--no-startup', '--json']);
  t.deepEqual(bare.json()['responses'], ['00c40000000a00000026'] as never);
});

test('malformed commands get the TPM’s own error code, and the device stays up', async t => {
  const file = await madeImage(t);
  // Result codes as swtpm 0.7.1 gives them (fixtures/transcripts/frames*.json).
  const cases: Record<string, string> = {
    '00c10000000d00000015000000': '00c40000000a00000019', // A byte too few.
    '00c10000000f000000150000000000': '00c40000000a00000019', // A byte too many.
    '00c20000000e0000001500000000': '00c40000000a0000001e', // A wrong tag.
    '00c10000000a00000fff': '00c40000000a0000000a', // An unknown ordinal.
    '00c1000000ff0000001500000000': '00c40000000a00000019', // A size field that says more.
    '00c10000000c0000001500000000': '00c40000000a00000019', // One that says less.
  };
  const run = await cli(['exec', file, ...Object.keys(cases), PCR_READ, '--json']);
  t.is(run.exit, 0);
  t.deepEqual(run.json()['responses'] as unknown, [
    ...Object.values(cases),
    `00c40000001e00000000${'00'.repeat(20)}`,
  ]);
});

test('every locality runs commands', async t => {
  const file = await madeImage(t);
  for (const locality of ['0', '1', '2', '3', '4']) {
    const run = await cli(['exec', file, PCR_READ, '--locality', locality]);
    t.is(run.out, `00c40000001e00000000${'00'.repeat(20)}\n`, locality);
  }
});

test('results are named beside the bytes, and in --json', async t => {
  const file = await madeImage(t);
  const refused = '00c10000000a00000fff';
  const run = await cli(['exec', file, PCR_READ, refused, '--json']);
  t.deepEqual(run.json()['results'] as unknown, [
    { result: 0, name: 'TPM_SUCCESS' },
    { result: 10, name: 'TPM_BAD_ORDINAL' },
  ]);
});

test('--strict: a refused command is exit code 1, and its answer is printed', async t => {
  const file = await madeImage(t);
  for (const [commands, exit] of [
    [[PCR_READ], 0],
    [[PCR_READ, '00c10000000a00000fff', PCR_READ], 1],
  ] as const) {
    t.is((await cli(['exec', file, ...commands])).exit, 0);
    const run = await cli(['exec', file, ...commands, '--strict']);
    t.is(run.exit, exit);
    t.is(run.out.trim().split('\n').length, commands.length);
  }
});

const LISTED = `# PCR 0, thrice
00c1 0000000e 00000015 00000000

  0x00c10000000e0000001500000000   # with a comment
00:c1:00:00:00:0e:00:00:00:15:00:00:00:00
`;

test('commands come from @FILE, from standard input, and from arguments, in this order', async t => {
  const file = await madeImage(t);
  const list = `${file}.txt`;
  writeFileSync(list, LISTED);
  const zero = `00c40000001e00000000${'00'.repeat(20)}`;
  const unknown = '00c40000000a0000000a  TPM_BAD_ORDINAL';
  const run = await cli(['exec', file, `@${list}`, '0x00c10000000a00000fff', '-'], {
    input: `${PCR_READ}`,
  });
  t.is(run.exit, 0, run.err);
  t.deepEqual(run.out.trim().split('\n'), [zero, zero, zero, unknown, zero]);
});

// biome-ignore format: table
const BAD_COMMANDS: readonly [args: readonly string[], input: string, exit: number, why: RegExp][] = [
  [['xyz'],      '',           2, /invalid command "xyz": expected the bytes of a command in hex/],
  [['00c'],      '',           2, /invalid command "00c"/],
  [['0x'],       '',           2, /invalid command "0x"/],
  [['-'],        '',           2, /-: there is no command in it/],
  [['-'],        '# only\n\n', 2, /-: there is no command in it/],
  [['-'],        '00c1\nxy\n', 2, /standard input, line 2: invalid command "xy"/],
  [['@/nope/x'], '',          12, /cannot read \/nope\/x: there is no such file/],
  [['@/'],       '',          12, /cannot read \/: it is a directory/],
  [['z'.repeat(5000)], '',     2, /invalid command "z{40}…":/],
  [[],           '',           2, /missing required argument 'command'/],
];
test('input that is not a command is refused by its place, and the TPM is not started', async t => {
  const file = await madeImage(t);
  const before = readFileSync(file);
  for (const [args, input, exit, why] of BAD_COMMANDS) {
    const run = await cli(['exec', file, ...args], { input });
    t.is(run.exit, exit, args.join(' '));
    t.regex(run.err, why);
    t.true(run.err.length < 300, run.err);
  }
  t.deepEqual(readFileSync(file), before);
});
