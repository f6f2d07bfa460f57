/** Runs the built command as a user does: as a process of its own. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../files.js';

export const PROGRAM = join(ROOT, 'dist', 'src', 'cli', 'main.js');

export interface Run {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
  /** Standard output as JSON. */
  readonly json: () => Record<string, never>;
}

export function nvtpm(args: readonly string[], cwd?: string, env = process.env): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    cwd,
    env,
    encoding: 'utf8',
  });
  return { exit: status, out: stdout, err: stderr, json: () => JSON.parse(stdout) };
}
