/**
 * TPMs behind sockets, one command at a time: the way of a program that has no QEMU. swtpm as a
 * process on a folder of its own, and a client for it and for ours alike.
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import {
  type AddressInfo,
  connect,
  createServer,
  type NetConnectOpts,
  type Socket,
} from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 500;

/** A client of a TPM's socket. */
export class TpmClient {
  readonly #socket: Socket;
  #answered: (response: Uint8Array) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', chunk => this.#answered(chunk));
  }

  /** Connects, as soon as somebody listens. */
  static async to(where: NetConnectOpts): Promise<TpmClient> {
    for (let i = 0; i < ATTEMPTS; i += 1) {
      const socket = connect({ ...where, noDelay: true } as NetConnectOpts);
      const up = await once(socket, 'connect').then(
        () => true,
        () => false,
      );
      if (up) return new TpmClient(socket);
      await sleep(10);
    }
    throw new Error(`no TPM answers at ${JSON.stringify(where)}`);
  }

  /** Sends a command and gives its response, which both kinds of TPM write at once. */
  transmit(command: Uint8Array): Promise<Uint8Array> {
    return new Promise(resolve => {
      this.#answered = resolve;
      this.#socket.write(command);
    });
  }

  async stop(): Promise<void> {
    this.#socket.destroy();
  }
}

export interface SwtpmOptions {
  readonly backend?: 'dir' | 'file';
  readonly socket?: 'unix' | 'tcp';
}

/** The swtpm that is installed; undefined where none is. */
export function swtpmVersion(): string | undefined {
  try {
    const text = execFileSync('swtpm', ['--version'], { encoding: 'utf8' });
    return `swtpm ${/version (\S+?),/.exec(text)?.[1] ?? ''}`;
  } catch {
    return undefined;
  }
}

export class SwtpmSocket {
  readonly #process: ChildProcess;
  readonly #client: TpmClient;

  private constructor(process: ChildProcess, client: TpmClient) {
    this.#process = process;
    this.#client = client;
  }

  static async start(
    folder: string,
    { backend = 'dir', socket = 'unix' }: SwtpmOptions = {},
  ): Promise<SwtpmSocket> {
    mkdirSync(folder);
    const where = socket === 'unix' ? { path: join(folder, 'data') } : { port: await freePort() };
    const server =
      'path' in where ? `type=unixio,path=${where.path}` : `type=tcp,port=${where.port}`;
    const state = backend === 'dir' ? `dir=${folder}` : `backend-uri=file://${folder}/linear`;
    // biome-ignore format: table
    const process = spawn('swtpm', ['socket', '--tpmstate', state, '--server', server,
      '--flags', 'not-need-init'], { stdio: 'ignore' });
    try {
      return new SwtpmSocket(process, await TpmClient.to(where));
    } catch (error) {
      process.kill();
      throw error;
    }
  }

  transmit(command: Uint8Array): Promise<Uint8Array> {
    return this.#client.transmit(command);
  }

  async stop(): Promise<void> {
    await this.#client.stop();
    const ended = once(this.#process, 'exit');
    this.#process.kill();
    await ended;
  }
}

/** A port that nobody listens on, a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
