/** The two TPMs that the tools are run before: processes that listen on TCP, and lose their power. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nvtpm } from '../program/cli.js';
import { Client, Serving } from '../program/serving.js';
import { freePort, listening } from './tcsd.js';

export interface Subject {
  readonly port: number;
  /** Switches it on, started by TPM_Startup(ST_CLEAR). */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** swtpm over TCP, on a state folder. */
export class SwtpmSubject implements Subject {
  readonly #state: string;
  readonly #flags: string;
  #process: ChildProcess | undefined;
  port = 0;

  constructor(folder: string, flags = 'not-need-init,startup-clear') {
    this.#flags = flags;
    this.#state = join(folder, 'state');
    mkdirSync(this.#state);
  }

  async start(): Promise<void> {
    this.port = await freePort();
    // biome-ignore format: one option and its value a line
    this.#process = spawn('swtpm', [
      'socket',
      '--tpmstate', `dir=${this.#state}`,
      // It serves one client at a time, and tcsd keeps its last connection open.
      '--server', `type=tcp,port=${this.port},disconnect`,
      '--flags', this.#flags,
    ], { stdio: 'ignore' });
    await listening(this.port, this.#process);
  }

  async kill(): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'close');
    this.#process.kill('SIGKILL');
    await ended;
  }
}

/** `nvtpm serve` over TCP, on a qcow2 image. */
export class OwnSubject implements Subject {
  readonly image: string;
  #serving: Serving | undefined;

  constructor(folder: string) {
    this.image = join(folder, 'tpm.qcow2');
    const { exit, err } = nvtpm(['create', this.image]);
    if (exit !== 0) throw new Error(err);
  }

  get port(): number {
    return this.#serving!.at as number;
  }

  async start(): Promise<void> {
    const args = ['--server', 'type=tcp,port=0', '--flags', 'not-need-init,startup-clear'];
    this.#serving = await Serving.start(this.image, ...args);
  }

  /** And the image is sound after it. */
  async kill(): Promise<void> {
    await this.#serving?.stop('SIGKILL');
    const { exit, out, err } = nvtpm(['check', this.image]);
    if (exit !== 0) throw new Error(`${out}${err}`);
  }
}

/** Sends a command over a connection of its own. */
export async function askAt(port: number, command: string): Promise<string> {
  const client = new Client(port);
  const answer = await client.ask(command);
  client.close();
  return answer;
}
