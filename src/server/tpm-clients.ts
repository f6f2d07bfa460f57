/**
 * The connections over which one TPM gets its commands, wherever they come from: a listening socket, or a
 * descriptor that a control channel has received. They take turns.
 * @module
 */
import type { Socket } from 'node:net';
import { Connections } from './connections.js';
import { PARTIAL_MS } from './deadline.js';
import { linger } from './linger.js';
import { Rotation } from './rotation.js';
import { TpmClient, type TpmClientOptions } from './tpm-client.js';

export interface TpmClientsOptions {
  /**
   * Runs one command to its end, at once or (with a promise) later: while the image is locked by
   * another process. Every command has a response. The next one is run after that.
   */
  readonly process: (command: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  /** The most bytes of a command of this TPM; requested with each connection. */
  readonly commandBytes: () => number;
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

const CONNECTIONS_MAX = 64;

export class TpmClients {
  readonly #clients = new Connections<TpmClient>(CONNECTIONS_MAX);
  readonly #isAlone = (): boolean => this.#clients.size === 1;
  readonly #rotation = new Rotation(this.#isAlone);
  readonly #options: Omit<TpmClientOptions, 'rotation' | 'commandBytes'>;
  readonly #commandBytes: () => number;
  readonly #deserted: (() => void) | undefined;
  #heard = false;

  constructor(options: TpmClientsOptions) {
    const { disconnect = false, partialMs = PARTIAL_MS } = options;
    this.#deserted = options.deserted;
    this.#commandBytes = options.commandBytes;
    this.#options = {
      ...{ disconnect, partialMs },
      run: untilBroken(options.process, options.fail),
      used: client => this.#clients.used(client),
      notice: oncePerSentence(options.notice ?? (() => {})),
    };
  }

  /** Takes commands from a connection, unless there are too many. */
  admit(socket: Socket): void {
    const client = new TpmClient(socket, {
      ...this.#options,
      commandBytes: this.#commandBytes(),
      rotation: this.#rotation,
    });
    const outcome = this.#clients.admit(client);
    if (outcome !== 'admitted') this.#options.notice(FULL[outcome]);
    if (outcome === 'refused') {
      client.close();
      return;
    }
    socket.on('close', () => {
      this.#clients.remove(client);
      this.#heard ||= socket.bytesRead > 0;
      if (this.#clients.size > 0 || !this.#heard) return;
      this.#heard = false;
      this.#deserted?.();
    });
    linger(socket, this.#isAlone);
  }

  /** No further command runs. */
  end(): void {
    this.#rotation.end();
  }

  close(): void {
    for (const client of [...this.#clients]) client.close();
  }
}

const FULL = {
  'displaced another': `more than ${CONNECTIONS_MAX} connections: the one idle longest was closed`,
  refused: `more than ${CONNECTIONS_MAX} connections, all with commands: a new one was refused`,
} as const;

/** The first exception of `process` goes to `fail`; no command runs after it. */
function untilBroken(
  process: TpmClientsOptions['process'],
  fail: TpmClientsOptions['fail'],
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
