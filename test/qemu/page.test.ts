/** @long The commands of docs/qemu.md, as a user runs them in a shell. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { ROOT, scratch } from '../../lab/files.js';
import { PROGRAM } from '../../lab/program/cli.js';
import { peerTest } from '../_peers.js';

const PAGE = readFileSync(join(ROOT, 'docs', 'qemu.md'), 'utf8');

/** The shell commands below a heading of the page. */
function commandsUnder(heading: string): string {
  const section = PAGE.split('\n## ').find(text => text.startsWith(`${heading}\n`));
  const commands = /```sh\n(.*?)```/s.exec(section ?? '')?.[1];
  if (commands === undefined) throw new Error(`docs/qemu.md has no commands under ${heading}`);
  return commands;
}

// biome-ignore format: table
const SECTIONS: readonly (readonly [heading: string, said: RegExp])[] = [
  ['Start, reset, quit',        /ended by control-shutdown/s],
  ['Migrate on shared storage', /Migration status: completed.*ended by control-shutdown.*VM status: running.*ended by control-shutdown/s],
];

for (const [heading, expected] of SECTIONS) {
  peerTest(`docs/qemu.md: ${heading}`, ['qemu-system-x86_64'], t => runs(t, heading, expected));
}

async function runs(t: ExecutionContext, heading: string, expected: RegExp): Promise<void> {
  const folder = scratch(t);
  const program = join(folder, 'nvtpm');
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${PROGRAM}" "$@"\n`);
  chmodSync(program, 0o755);
  const shell = spawn('sh', ['-e', '-c', commandsUnder(heading)], {
    cwd: folder,
    env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  shell.stdout.on('data', chunk => (said += chunk));
  shell.stderr.on('data', chunk => (said += chunk));
  const [exit] = await once(shell, 'close');
  t.is(exit, 0, said);
  t.regex(said, expected);
}
