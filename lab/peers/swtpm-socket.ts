/** swtpm as QEMU uses it: a process with a control channel, and no TPM until INIT. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Scope, scratch } from '../files.js';

export interface SwtpmSocket {
  readonly folder: string;
  /** The path of its control channel. */
  readonly ctrl: string;
  readonly process: ChildProcess;
}

/** Resolves once it listens. Killed after the test. @throws Error if it ends before */
export async function swtpmSocket(t: Scope): Promise<SwtpmSocket> {
  const folder = scratch(t);
  const ctrl = join(folder, 'ctrl');
  const args = ['socket', '--tpmstate', `dir=${folder}`, '--ctrl', `type=unixio,path=${ctrl}`];
  const child = spawn('swtpm', args, { stdio: 'ignore' });
  t.teardown(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  while (!existsSync(ctrl)) {
    if (child.exitCode !== null) throw new Error(`swtpm ended with ${child.exitCode}`);
    await sleep(10);
  }
  return { folder, ctrl, process: child };
}
