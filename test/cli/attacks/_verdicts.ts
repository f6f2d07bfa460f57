/** What each subcommand says about an image, and whether the file is as it was. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { nvtpmEnded } from '../../../lab/program/cli.js';

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
export function answerOf(use: Use, path: string, ...more: readonly string[]): Answer {
  const args = USES[use].map(each =>
    each.replace('PATH', path).replace('SOCKET', `${path}.${use}`),
  );
  const { exit, out, err } = nvtpmEnded([...args, ...more]);
  const said = out + err;
  return { exit: /listening at|running \(/.test(said) ? 'started' : exit, out: said };
}
