/**
 * The sockets of the faces. A face gets its clients' bytes and answers; it never sees a socket.
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { errnoOf } from '../errors.js';
import { type Address, FaceError } from './address.js';
import { listenAt } from './unix-socket.js';

/** Where a face writes to one of its clients. */
export interface Output {
  write(text: string): void;
  /** Once the client has read enough for more to be written, or is gone. */
  drained(): Promise<void>;
}

/** One client of a face. */
export interface Session {
  take(chunk: Uint8Array): Promise<void>;
  /** The client is gone. */
  close(): void;
}

export type Attach = (output: Output) => Session;

/** Clients of a server, those that wait for their turn included. */
const CONNECTIONS_MAX = 32;
/** What may wait for a client that does not read, in bytes: beyond it, it is dropped. */
const UNREAD_MAX = 1024 * 1024;
/** How long a client may take to read what was written before the end, in milliseconds. */
const FAREWELL_MS = 1000;

interface Peer {
  readonly input: Readable;
  readonly output: Writable;
}

export class Endpoint {
  readonly #server: Server | undefined;
  /** Connected, and nobody has served them yet. */
  readonly #waiting: Peer[] = [];
  readonly #serving = new Set<Peer>();
  #arrived: (() => void) | undefined;
  #closed = false;

  private constructor(server: Server | undefined) {
    this.#server = server;
    server?.on('connection', socket => this.#arrive({ input: socket, output: socket }));
  }

  /**
   * Listens or connects; with `wait`, comes back once a client is there, or `signal` gives up.
   * @throws FaceError LISTEN, CONNECT
   */
  static async open(address: Address, signal: AbortSignal): Promise<Endpoint> {
    if (address.kind === 'stdio') {
      const endpoint = new Endpoint(undefined);
      endpoint.#arrive({ input: process.stdin, output: process.stdout });
      return endpoint;
    }
    if (!address.server) {
      const endpoint = new Endpoint(undefined);
      const socket = await reach(address.path);
      endpoint.#arrive({ input: socket, output: socket });
      return endpoint;
    }
    const endpoint = new Endpoint(await listen(address.path));
    if (address.wait) await endpoint.#someone(signal);
    return endpoint;
  }

  /**
   * The next client's socket, for who wants it as it is. Undefined once `signal` has given up.
   */
  async next(signal: AbortSignal): Promise<Socket | undefined> {
    await this.#someone(signal);
    return this.#waiting.shift()?.input as Socket | undefined;
  }

  /** Serves the clients, `clientsMax` at a time; the others wait. `fail` hears of what is a bug. */
  serve(attach: Attach, clientsMax: number, fail: (error: unknown) => void): void {
    const more = (): void => {
      while (!this.#closed && this.#waiting.length > 0 && this.#serving.size < clientsMax) {
        const peer = this.#waiting.shift()!;
        this.#serving.add(peer);
        converse(peer, attach)
          .catch(fail)
          .finally(() => {
            this.#serving.delete(peer);
            more();
          });
      }
    };
    this.#arrived = more;
    more();
  }

  /** Takes nobody any more, and parts from those who are there. Removes the socket's file. */
  close(): void {
    this.#closed = true;
    this.#server?.close();
    for (const { input, output } of [...this.#serving, ...this.#waiting]) {
      if (output === process.stdout) {
        input.destroy();
        continue;
      }
      output.end(() => output.destroy());
      setTimeout(() => output.destroy(), FAREWELL_MS).unref();
    }
  }

  #arrive(peer: Peer): void {
    // A client that breaks off is its own affair: what it meant to read is dropped.
    peer.output.on('error', () => {});
    this.#waiting.push(peer);
    this.#arrived?.();
  }

  async #someone(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length > 0 || signal.aborted) return;
    await new Promise<void>(resolve => {
      this.#arrived = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#arrived = undefined;
  }
}

/** Carries bytes between a client and its session until the client is gone. */
async function converse({ input, output }: Peer, attach: Attach): Promise<void> {
  const session = attach({
    write: text => {
      output.write(text);
      if (output.writableLength > UNREAD_MAX) output.destroy();
    },
    drained: async () => {
      if (!output.writableNeedDrain || output.destroyed) return;
      const done = new AbortController();
      const { signal } = done;
      const either = ['drain', 'close'].map(event => once(output, event, { signal }));
      await Promise.race(either).catch(() => {});
      done.abort();
      await Promise.allSettled(either);
    },
  });
  try {
    for await (const chunk of quietly(input)) await session.take(chunk);
  } finally {
    session.close();
    if (output !== process.stdout) output.end();
  }
}

/** What a client sends until it ends or breaks off. */
async function* quietly(input: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of input) yield chunk;
  } catch {
    // A connection that breaks off has ended.
  }
}

/**
 * Connects to a Unix socket.
 * @throws FaceError CONNECT
 */
export async function reach(path: string): Promise<Socket> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
  } catch (error) {
    const why = `cannot connect to ${path}: nobody listens there (${errnoOf(error)})`;
    throw new FaceError('CONNECT', why, error);
  }
  return socket;
}

async function listen(path: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  server.maxConnections = CONNECTIONS_MAX;
  await listenAt(server, path);
  return server;
}
