/**
 * swtpm as a process on a folder of its own, one command at a time over its data socket: the way of
 * a program that has no QEMU.
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 500;

export class SwtpmSocket {
  readonly version: string;
  readonly #process: ChildProcess;
  readonly #socket: Socket;

  private constructor(version: string, process: ChildProcess, socket: Socket) {
    this.version = version;
    this.#process = process;
    this.#socket = socket;
  }

  /** Undefined where swtpm is not installed. */
  static async start(
    folder: string,
    backend: 'dir' | 'file' = 'dir',
  ): Promise<SwtpmSocket | undefined> {
    let version: string;
    try {
      const text = execFileSync('swtpm', ['--version'], { encoding: 'utf8' });
      version = `swtpm ${/version (\S+?),/.exec(text)?.[1] ?? ''}`;
    } catch {
      return undefined;
    }
    mkdirSync(folder);
    const path = join(folder, 'data');
    const state = backend === 'dir' ? `dir=${folder}` : `backend-uri=file://${folder}/linear`;
    // biome-ignore format: table
    const process = spawn('swtpm', ['socket', '--tpmstate', state, '--server', `type=unixio,path=${path}`,
      '--flags', 'not-need-init'], { stdio: 'ignore' });
    for (let i = 0; i < ATTEMPTS; i += 1) {
      const socket = connect(path);
      const up = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      if (up) return new SwtpmSocket(version, process, socket);
      await sleep(10);
    }
    process.kill();
    throw new Error('swtpm does not answer');
  }

  /** Sends a command and gives its response, which swtpm writes at once. */
  async transmit(command: Uint8Array): Promise<Uint8Array> {
    const answered = once(this.#socket, 'data');
    this.#socket.write(command);
    return (await answered)[0] as Uint8Array;
  }

  async stop(): Promise<void> {
    this.#socket.destroy();
    const ended = once(this.#process, 'exit');
    this.#process.kill();
    await ended;
  }
}
