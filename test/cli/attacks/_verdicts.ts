/** What each subcommand says about an image, and whether the file is as it was. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { PROGRAM } from '../../../lab/program/cli.js';

export const sha256 = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

/** TPM_GetRandom, 8 bytes. */
export const GET_RANDOM = '00c10000000e0000004600000008';
/** Every way to use an image; PATH and SOCKET stand for what the test has. */
// biome-ignore format: table
export const USES = {
  info:   ['info', 'PATH', '--json'],
  check:  ['check', 'PATH', '--json'],
  create: ['create', 'PATH', '--json'],
  exec:   ['exec', 'PATH', GET_RANDOM, '--json'],
  serve:  ['serve', 'PATH', '--server', 'type=unixio,path=SOCKET', '--json'],
  run:    ['run', 'PATH', '--qmp', 'unix:SOCKET,server=on,wait=off'],
} as const;
export type Use = keyof typeof USES;

export interface Answer {
  /** The exit code, or that it has started to serve. */
  readonly exit: number | null | 'started';
  readonly out: string;
}

/** Runs a subcommand to its end; one that starts to serve instead is ended in order. */
export async function answerOf(
  use: Use,
  path: string,
  ...more: readonly string[]
): Promise<Answer> {
  const args = USES[use].map(each =>
    each.replace('PATH', path).replace('SOCKET', `${path}.${use}`),
  );
  const child = spawn(process.execPath, [PROGRAM, ...args, ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let started = false;
  const take = (chunk: Buffer): void => {
    out += chunk;
    if (started || !/listening at|running \(/.test(out)) return;
    started = true;
    child.kill('SIGTERM');
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  await once(child, 'close');
  return { exit: started ? 'started' : child.exitCode, out };
}
