/**
 * A TPM for programs: raw TPM 1.2 commands over TCP or a Unix socket, as trousers' tcsd and swtpm's
 * clients send them. A response is one write, since tcsd reads it with one read; clients may connect
 * anew for each command, and several may be connected at once, which take turns.
 * @module
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { EndpointError } from './address.js';
import { Connections } from './connections.js';
import { PARTIAL_MS } from './deadline.js';
import { linger } from './linger.js';
import { Rotation } from './rotation.js';
import { TpmClient, type TpmClientOptions } from './tpm-client.js';
import { listenAt } from './unix-socket.js';

/** Where a TPM listens. TCP listens on this machine only, unless `bindaddr` says otherwise. */
export type TpmAddress =
  | { readonly type: 'tcp'; readonly port: number; readonly bindaddr?: string }
  /** The mode of the socket's file. Default: 0600. */
  | { readonly type: 'unixio'; readonly path: string; readonly mode?: number };

export interface TpmSocketOptions {
  /**
   * Runs one command to its end, at once or (with a promise) later: while the image is locked by
   * another process. Every command has a response. The next one is run after that.
   */
  readonly process: (command: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  /** The most bytes of a command of this TPM; requested with each connection. */
  readonly commandBytes: () => number;
  readonly address: TpmAddress;
  /** Whether the connection is closed after each response, as swtpm's option of that name has it. */
  readonly disconnect?: boolean;
  /** How long a command may stay incomplete before its connection is closed. Default: 10,000. */
  readonly partialMs?: number;
  /** Called with what `process` throws, which is a bug; no command is run after it. */
  readonly fail: (error: unknown) => void;
  /** Called when the last connection has closed, unless none of them has sent data. */
  readonly deserted?: () => void;
  /** Called with a sentence for the log, at most once with each. */
  readonly notice?: (sentence: string) => void;
}

/** A TPM that listens. */
export interface TpmSocket {
  /** The TCP port that was bound, also where port 0 was requested. */
  readonly port: number | undefined;
  /**
   * Stops listening, discards the commands that have not begun, and closes every connection. Removes
   * a Unix socket.
   */
  close(): Promise<void>;
}

const LOOPBACK = '127.0.0.1';
const CONNECTIONS_MAX = 64;

/**
 * Listens at an address.
 * @throws EndpointError LISTEN
 */
export async function openTpmSocket(options: TpmSocketOptions): Promise<TpmSocket> {
  const clients = new Connections<TpmClient>(CONNECTIONS_MAX);
  const isAlone = (): boolean => clients.size === 1;
  const rotation = new Rotation(isAlone);
  const notice = oncePerSentence(options.notice ?? (() => {}));
  const { disconnect = false, partialMs = PARTIAL_MS } = options;
  const used = (client: TpmClient): void => clients.used(client);
  const run = untilBroken(options.process, options.fail);
  let heard = false;
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    const client = new TpmClient(socket, {
      rotation,
      run,
      commandBytes: options.commandBytes(),
      disconnect,
      partialMs,
      used,
      notice,
    });
    const outcome = clients.admit(client);
    if (outcome !== 'admitted') notice(FULL[outcome]);
    if (outcome === 'refused') {
      client.close();
      return;
    }
    socket.on('close', () => {
      clients.remove(client);
      heard ||= socket.bytesRead > 0;
      if (clients.size > 0 || !heard) return;
      heard = false;
      options.deserted?.();
    });
    linger(socket, isAlone);
  });
  await listen(server, options.address);
  const bound = server.address();
  return {
    port: bound === null || typeof bound === 'string' ? undefined : bound.port,
    close: () =>
      new Promise(resolve => {
        rotation.end();
        server.close(() => resolve());
        for (const client of [...clients]) client.close();
      }),
  };
}

const FULL = {
  'displaced another': `more than ${CONNECTIONS_MAX} connections: the one idle longest was closed`,
  refused: `more than ${CONNECTIONS_MAX} connections, all with commands: a new one was refused`,
} as const;

/** The first exception of `process` goes to `fail`; no command runs after it. */
function untilBroken(
  process: TpmSocketOptions['process'],
  fail: TpmSocketOptions['fail'],
): TpmClientOptions['run'] {
  let broken = false;
  const breakDown = (error: unknown): undefined => {
    broken = true;
    fail(error);
  };
  return command => {
    if (broken) return undefined;
    try {
      const response = process(command);
      return response instanceof Promise ? response.catch(breakDown) : response;
    } catch (error) {
      return breakDown(error);
    }
  };
}

/** The sentences are few; how often a client causes one is up to the client. */
function oncePerSentence(notice: (sentence: string) => void): (sentence: string) => void {
  const said = new Set<string>();
  return sentence => {
    if (said.has(sentence)) return;
    said.add(sentence);
    notice(sentence);
  };
}

async function listen(server: Server, address: TpmAddress): Promise<void> {
  if (address.type === 'unixio') return listenAt(server, address.path, address.mode);
  const { port, bindaddr = LOOPBACK } = address;
  try {
    server.listen(port, bindaddr);
    await once(server, 'listening');
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    const where = `port ${port} of ${bindaddr}`;
    throw new EndpointError(
      'LISTEN',
      `cannot listen at ${where}: ${why}; choose another one`,
      error,
    );
  }
}
