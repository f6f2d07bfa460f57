/** The command line itself: help, version, numbers, and invalid use, for people and for programs. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { nvtpm } from '../../lab/program/cli.js';
import { cli, Sink } from './_in-process.js';

const SUBCOMMANDS =
  'demo create info check exec serve run rekey restore import export compare log trace completion'.split(
    ' ',
  );

// biome-ignore format: table
const INVALID: readonly [args: readonly string[], why: RegExp][] = [
  [[],                                             /no command is given; see nvtpm --help/],
  [['foo'],                                        /unknown command 'foo'/],
  [['inf'],                                        /Did you mean info\?/],
  [['--foo', 'info', 'x'],                         /unknown option '--foo'/],
  [['info'],                                       /missing required argument 'file'; see nvtpm info --help/],
  [['info', 'x', 'y'],                             /too many arguments/],
  [['info', 'x', '--foo'],                         /unknown option '--foo'/],
  [['info', 'x', '--trace'],                       /argument missing/],
  [['restore', 'x'],                               /--generation is required/],
  [['restore', 'x', '--generation', '0'],          /invalid --generation "0": expected a generation, 1 or more/],
  [['rekey', 'x'],                                 /expected either --new-key or --remove-key/],
  [['run', 'x'],                                   /--qtest or --qmp is required/],
  [['run', 'x', '--qmp', 'stdio', '--qtest', 'stdio'], /only one interface can use standard input/],
  [['trace', 'x', '--trace', 'y'],                 /unknown option '--trace'/],
  [['trace', 'x', '--lock-timeout', '1'],          /unknown option '--lock-timeout'/],
  [['demo', '--engine', 'tpm12'],                  /unknown option '--engine'/],
  [['info', 'x', '--image-lock', 'maybe'],         /invalid --image-lock "maybe": expected one of on, off, auto/],
];
test('an invalid command line is one sentence, and JSON with --json in any place', async t => {
  for (const [args, why] of INVALID) {
    const run = await cli(args);
    t.is(run.exit, 2, args.join(' '));
    t.regex(run.err, why);
    t.is(run.err.trim().split('\n').length, 1, run.err);
    t.is(run.out, '');
    for (const withJson of [
      ['--json', ...args],
      [...args, '--json'],
    ]) {
      const { exit, err, out } = await cli(withJson);
      if (withJson.at(-2) === '--trace') continue;
      t.is(exit, 2);
      t.is(err, '');
      const { error } = JSON.parse(out);
      t.like(error, { code: 'USAGE', exitCode: 2 });
    }
  }
});

test('after --, --json is an argument', async t => {
  const run = await cli(['info', '--', '--json', 'y']);
  t.is(run.out, '');
  t.regex(run.err, /too many arguments/);
});

// biome-ignore format: table
const BAD_NUMBERS = ['', ' ', ' 1', '1 ', '0x10', '1e3', '+1', '-1', '1.5', '01', '١', 'ten', 'Infinity', '99999999999999999999'];
// biome-ignore format: table
const NUMBERS: readonly (readonly string[])[] = [
  ['info', 'x', '--lock-timeout'],
  ['create', 'x', '--keep'],
  ['exec', 'x', '00c1', '--locality'],
  ['restore', 'x', '--generation'],
];
test('numbers are plain decimal digits', async t => {
  for (const args of NUMBERS) {
    for (const text of BAD_NUMBERS) {
      const run = await cli([...args, text]);
      t.is(run.exit, 2, `${args.at(-1)} ${text}`);
      t.true(run.err.includes(`invalid ${args.at(-1)} ${JSON.stringify(text)}:`), run.err);
    }
  }
});

test('sizes are spelt as qemu-img spells them', async t => {
  for (const text of [
    '',
    'k',
    '1kb',
    '0',
    '-1M',
    '0x10M',
    '1e3',
    ' 1M',
    '1,5M',
    '9999999T',
    '1M M',
  ]) {
    const run = await cli(['create', 'x', '--size', text]);
    t.is(run.exit, 2, text);
    t.regex(run.err, /invalid --size .*: expected a size, such as 64k, 1M or 1G/);
  }
  for (const [text, bytes] of [
    ['1M', 2 ** 20],
    ['1.5M', 1.5 * 2 ** 20],
    ['512k', 2 ** 19],
    ['524288', 2 ** 19],
  ] as const) {
    const run = await cli(['create', join(scratch(t), 'x'), '--size', text, '--json']);
    t.like(run.json(), { virtualSize: bytes } as never, text);
  }
});

// biome-ignore format: table
const SWTPM: readonly [args: readonly string[], advice: RegExp][] = [
  [['serve', '--tpmstate', 'dir=/tmp'],            /--tpmstate .*nvtpm serve IMAGE/],
  [['serve', 'x', '--tpm2'],                       /--tpm2 .*TPM 1\.2/],
  [['serve', 'x', '-p', '6545'],                   /--port .*--server type=tcp,port=PORT/],
  [['serve', 'x', '--fd', '3'],                    /--fd .*--server/],
  [['serve', 'x', '--log', 'level=20'],            /--log .*--trace FILE/],
  [['serve', 'x', '-d'],                           /--daemon .*in the background/],
  [['--tpmstate', 'dir=/tmp', '--tpm2'],           /--tpmstate/],
  [['socket', '--tpmstate', 'dir=/tmp'],           /socket .*nvtpm serve IMAGE/],
];
test('names of swtpm’s command line are answered with what to use', async t => {
  for (const [args, advice] of SWTPM) {
    const { exit, err } = await cli(args);
    t.is(exit, 2, args.join(' '));
    t.regex(err, advice);
    t.regex(err, /see docs\/serve\.md/);
  }
  t.true(existsSync(join(ROOT, 'docs/serve.md')));
});

test('-v and --version print the version of the package', async t => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const args of [['-v'], ['--version']]) {
    const run = await cli(args);
    t.is(run.exit, 0);
    t.is(run.out, `${version}\n`);
  }
});

test('help lists every subcommand; each has its own options first, then the common ones, and an example', async t => {
  const all = await cli(['--help']);
  t.is(all.exit, 0);
  t.is(all.err, '');
  t.notRegex(all.out, /demo-step/);
  for (const name of SUBCOMMANDS) {
    t.regex(all.out, new RegExp(`^  ${name} `, 'm'));
    const { exit, out } = await cli([name, '--help']);
    t.is(exit, 0);
    const headings = [...out.matchAll(/^(Options|Common options|Example):$/gm)].map(([, it]) => it);
    const own = name === 'completion' ? [] : ['Options'];
    t.deepEqual(headings, [...own, 'Common options', 'Example'], name);
    t.regex(out, new RegExp(`^  (echo .*)?nvtpm ${name}\\b`, 'm'));
    const common = out.slice(out.indexOf('Common options:'));
    t.regex(common, /--json/);
    t.is(/--lock-timeout/.test(common), !['demo', 'trace', 'completion'].includes(name), name);
  }
});

test('help fits the terminal', async t => {
  for (const name of SUBCOMMANDS) {
    const { out } = await cli([name, '--help'], { stdout: new Sink(72) });
    const [options = ''] = out.split('\nExample:');
    const long = options.split('\n').filter(line => line.length > 72);
    t.deepEqual(long, [], name);
  }
});

test('the program as a process: exit codes and both outputs', t => {
  const missing = nvtpm(['info', '/nope/x']);
  t.is(missing.exit, 12);
  t.is(missing.out, '');
  t.regex(missing.err, /^nvtpm: cannot open/);
  t.is(nvtpm(['--help']).exit, 0);
});
