/** `nvtpm serve` as a process of its own, and clients that send it raw commands. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { hex, toHex } from '../files.js';
import { PROGRAM } from './cli.js';

export interface End {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

/** Where a server says that it listens. */
async function whereOf(
  child: ChildProcessByStdio<null, Readable, Readable>,
  said: { out: string; err: string },
  closed: Promise<unknown>,
): Promise<number | string> {
  for (;;) {
    const where = /listening at (.+?);/.exec(said.out + said.err)?.[1];
    const port = where && /:(\d+)$/.exec(where)?.[1];
    if (where !== undefined) return port ? Number(port) : where;
    const ended = await Promise.race([
      once(child.stdout, 'data').then(() => false),
      once(child.stderr, 'data').then(() => false),
      closed.then(() => true),
    ]);
    if (ended) throw new Error(`it ended: ${said.out}${said.err}`);
  }
}

export class Serving {
  readonly process: ChildProcess;
  /** Where it listens: a port of the loopback, or a path. */
  readonly at: number | string;
  readonly #said: { out: string; err: string };
  /** Not its exit: what it has said may come after that. */
  readonly #closed: Promise<unknown>;

  private constructor(
    child: ChildProcess,
    at: number | string,
    said: { out: string; err: string },
    closed: Promise<unknown>,
  ) {
    this.process = child;
    this.at = at;
    this.#said = said;
    this.#closed = closed;
  }

  /** Comes back once it listens; throws what it said if it ends before. */
  static async start(image: string, ...args: readonly string[]): Promise<Serving> {
    const child = spawn(process.execPath, [PROGRAM, 'serve', image, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = once(child, 'close');
    const said = { out: '', err: '' };
    child.stdout.on('data', chunk => (said.out += chunk));
    child.stderr.on('data', chunk => (said.err += chunk));
    try {
      const at = await whereOf(child, said, closed);
      return new Serving(child, at, said, closed);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  client(): Client {
    return new Client(this.at);
  }

  /** Sends one command over a connection of its own, and gives the response. */
  async ask(command: string): Promise<string> {
    const client = this.client();
    const answer = await client.ask(command);
    client.close();
    return answer;
  }

  /** What it has said on standard error so far. */
  get err(): string {
    return this.#said.err;
  }

  async ended(): Promise<End> {
    await this.#closed;
    return { exit: this.process.exitCode, ...this.#said };
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
    this.process.kill(signal);
    return this.ended();
  }
}

export class Client {
  readonly #socket: Socket;
  readonly #closed: Promise<unknown>;
  #got = '';

  constructor(at: number | string) {
    this.#socket = typeof at === 'string' ? connect(at) : connect(at, '127.0.0.1');
    this.#socket.on('data', chunk => (this.#got += toHex(chunk)));
    this.#socket.on('error', () => this.#socket.destroy());
    this.#closed = new Promise(resolve => this.#socket.once('close', resolve));
  }

  /** Sends a command in hex and gives the response; what there was of it, if the connection ends. */
  async ask(command: string): Promise<string> {
    this.#socket.write(hex(command));
    for (;;) {
      const length = this.#got.length < 12 ? 6 : Number.parseInt(this.#got.slice(4, 12), 16);
      if (this.#got.length >= 2 * Math.max(length, 10) || this.#socket.destroyed) break;
      await Promise.race([once(this.#socket, 'data'), this.#closed]);
    }
    const answer = this.#got;
    this.#got = '';
    return answer;
  }

  /** Once the other side has ended the connection. */
  async ended(): Promise<void> {
    await this.#closed;
  }

  close(): void {
    this.#socket.destroy();
  }
}
