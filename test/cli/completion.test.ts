/**
 * `nvtpm completion`: what the shells complete. The scripts come from the tables of the command line,
 * so what is expected is what help shows.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { scratch } from '../../lab/files.js';
import { which } from '../../lab/which.js';
import { cli } from './_in-process.js';

const script = async (shell: string): Promise<string> => {
  const { exit, out, err } = await cli(['completion', shell]);
  if (exit !== 0) throw new Error(err);
  return out;
};

/** What bash completes each of `lines` to; the cursor is at the end of its line. */
async function completed(t: ExecutionContext, lines: readonly string[]): Promise<string[][]> {
  const file = join(scratch(t), 'completion.bash');
  const asked = lines.map(line => {
    const words = line.split(' ').map(word => `'${word}'`);
    return `COMP_WORDS=(${words.join(' ')}) COMP_CWORD=${words.length - 1}; _nvtpm; echo "\${COMPREPLY[*]}"`;
  });
  writeFileSync(file, `${await script('bash')}\n${asked.join('\n')}\n`);
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', file], { encoding: 'utf8' });
  t.is(status, 0, stderr);
  t.is(stderr, '');
  return stdout.split('\n').map(line => line.split(' ').filter(word => word !== ''));
}

/** The spellings of options in a help text. */
const optionsOf = (help: string): string[] =>
  [...help.matchAll(/^ {2}(-\w)?(?:, )?(--[\w-]+)?/gm)]
    .flatMap(([, short, long]) => [short, long])
    .filter(each => each !== undefined);

test('bash completes the commands, and the options of each, that help shows', async t => {
  const { out } = await cli(['--help']);
  const commands = [...out.matchAll(/^ {2}(\w+) .*(?:\[options\]|<)/gm)].map(([, name]) => name!);
  const names = commands.filter(name => name !== 'help');
  t.true(names.length > 10);
  const [all, ...options] = await completed(t, ['nvtpm ', ...names.map(name => `nvtpm ${name} -`)]);
  t.deepEqual(
    all!.filter(word => !word.startsWith('-')),
    names,
  );
  for (const [at, name] of names.entries()) {
    const { out: help } = await cli([name, '--help']);
    t.deepEqual(options[at]!.toSorted(), optionsOf(help).toSorted(), name);
  }
});

test('bash completes values from closed sets, and leaves files to readline', async t => {
  const asked: readonly (readonly [line: string, words: readonly string[]])[] = [
    ['nvtpm co', ['compare', 'completion']],
    ['nvtpm --json inf', ['info']],
    ['nvtpm info --image-lock ', ['on', 'off', 'auto']],
    ['nvtpm info --image-lock a', ['auto']],
    ['nvtpm info --lock-timeout ', []],
    ['nvtpm info --trace ', []],
    ['nvtpm info ', []],
    ['nvtpm info x.qcow2 --for', ['--force-share']],
    ['nvtpm completion ', ['bash', 'zsh', 'fish']],
    ['nvtpm demo-', []],
  ];
  const found = await completed(
    t,
    asked.map(([line]) => line),
  );
  for (const [at, [line, words]] of asked.entries()) t.deepEqual(found[at], words, line);
});

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`the script for ${shell} names every option, and ${shell} can parse it`, async t => {
    const text = await script(shell);
    const { out } = await cli(['check', '--help']);
    for (const option of optionsOf(out)) {
      const plain = option.replace(/^--?/, '');
      t.regex(text, new RegExp(`(--|-l |-s |-)${plain}\\b`), option);
    }
    if (which(shell) === undefined) {
      t.log(`${shell} is not installed: its script was not parsed`);
      return;
    }
    const file = join(scratch(t), `completion.${shell}`);
    writeFileSync(file, text);
    const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    t.is(status, 0, stderr);
  });
}

test('another shell is refused', async t => {
  const run = await cli(['completion', 'tcsh']);
  t.is(run.exit, 2);
  t.regex(run.err, /invalid shell "tcsh": expected one of bash, zsh, fish/);
  const data = (await cli(['completion', 'bash', '--json'])).json() as unknown as object;
  t.like(data, { shell: 'bash', script: await script('bash') });
});
