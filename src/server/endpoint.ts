/**
 * The address of an interface: listens there or connects to it, and serves the clients. An interface gets
 * its clients' bytes and answers them; it never sees a socket.
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Server, Socket } from 'node:net';
import { errnoOf } from '../errors.js';
import { type Address, EndpointError } from './address.js';
import { Connections } from './connections.js';
import { type Attach, Conversation, type Streams } from './conversation.js';
import { PARTIAL_MS } from './deadline.js';
import { listenAt } from './unix-socket.js';

/** Connections of one address. */
const CONNECTIONS_MAX = 32;

export interface Serving {
  readonly attach: Attach;
  /**
   * Whether one client at a time is attached, in the order in which they send their first bytes; a
   * connection that sends nothing keeps none of them waiting.
   */
  readonly exclusive: boolean;
  /** Called with what a session throws, which is a bug. */
  readonly fail: (error: unknown) => void;
  /** How long a request may stay incomplete before its connection is closed. Default: 10,000. */
  readonly partialMs?: number;
}

export class Endpoint {
  readonly #server: Server | undefined;
  readonly #connections = new Connections<Conversation>(CONNECTIONS_MAX);
  /** Connected, and neither served nor taken yet. */
  readonly #unserved = new Set<Conversation>();
  #serving: Serving | undefined;
  /** Resolves when the last client in the queue of an exclusive interface has disconnected. */
  #seat: Promise<void> = Promise.resolve();
  /** Called with each connection that is not served. */
  #arrived: ((conversation: Conversation) => void) | undefined;
  #closed = false;

  private constructor(server: Server | undefined) {
    this.#server = server;
    server?.on('connection', socket => this.#arrive({ input: socket, output: socket }));
  }

  /**
   * Listens or connects; with `wait`, resolves once a client has connected, or `signal` is aborted.
   * @throws EndpointError LISTEN, CONNECT
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
    if (address.wait) await endpoint.#connected(signal);
    return endpoint;
  }

  /**
   * The first connection that sends data, as a socket, of an endpoint that is not served; undefined once
   * `signal` is aborted. A connection that sends nothing keeps no later one waiting.
   */
  async next(signal: AbortSignal): Promise<Socket | undefined> {
    if (signal.aborted) return undefined;
    const conversation = await new Promise<Conversation | undefined>(resolve => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
      const watch = async (each: Conversation): Promise<void> => {
        await each.begun();
        if (each.streams.input.readableLength > 0) resolve(each);
        else each.close();
      };
      this.#arrived = each => void watch(each);
      for (const each of this.#unserved) void watch(each);
    });
    this.#arrived = undefined;
    const socket = conversation?.streams.input;
    if (conversation === undefined || !(socket instanceof Socket)) return undefined;
    this.#unserved.delete(conversation);
    this.#connections.remove(conversation);
    return socket;
  }

  /** Serves the clients that have connected, and those that will. */
  serve(serving: Serving): void {
    this.#serving = serving;
    for (const conversation of this.#unserved) this.#start(conversation, serving);
    this.#unserved.clear();
  }

  /** Stops listening and closes every connection. Removes a Unix socket. */
  close(): void {
    this.#closed = true;
    this.#server?.close();
    for (const conversation of this.#connections) conversation.end();
  }

  #arrive(streams: Streams): void {
    const conversation = new Conversation(streams);
    if (this.#closed || this.#connections.admit(conversation) === 'refused') {
      conversation.close();
      return;
    }
    streams.output.once('close', () => {
      this.#unserved.delete(conversation);
      this.#connections.remove(conversation);
    });
    if (this.#serving !== undefined) {
      this.#start(conversation, this.#serving);
      return;
    }
    this.#unserved.add(conversation);
    this.#arrived?.(conversation);
  }

  #start(conversation: Conversation, serving: Serving): void {
    this.#converse(conversation, serving)
      .catch(serving.fail)
      .finally(() => this.#connections.remove(conversation));
  }

  async #converse(conversation: Conversation, serving: Serving): Promise<void> {
    const { attach, exclusive, partialMs = PARTIAL_MS } = serving;
    const run = (): Promise<void> =>
      conversation.run(attach, partialMs, () => this.#connections.used(conversation));
    if (!exclusive) return run();
    await conversation.begun();
    const mine = this.#seat.then(run);
    this.#seat = mine.catch(() => {});
    return mine;
  }

  async #connected(signal: AbortSignal): Promise<void> {
    if (this.#unserved.size > 0 || signal.aborted) return;
    await new Promise<void>(resolve => {
      this.#arrived = () => resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#arrived = undefined;
  }
}

/**
 * Connects to a Unix socket.
 * @throws EndpointError CONNECT
 */
export async function reach(path: string): Promise<Socket> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
  } catch (error) {
    const why = `cannot connect to ${path}: no program listens there (${errnoOf(error)})`;
    throw new EndpointError('CONNECT', `${why}; start it first, or check the path`, error);
  }
  return socket;
}

async function listen(path: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  await listenAt(server, path);
  return server;
}
