/**
 * Messages over a stream socket: one JSON document a line. A channel owns its socket for life, so that
 * an error of the socket never arrives where nothing listens. What the peer sends is bounded, and so
 * is every wait for it.
 * @module
 */
import type { Socket } from 'node:net';
import { NvtpmError } from '../errors.js';

/** The longest line that is accepted, in bytes: a manifest with the largest states is far below it. */
export const LINE_BYTES_MAX = 1024 * 1024;
const NEWLINE = 0x0a;

/** The peer timed out, disconnected, or sent something that is not a message. */
export class ChannelError extends NvtpmError {
  override readonly name = 'ChannelError';
  readonly outcome = 'FAILED';
  readonly code: 'TIMEOUT' | 'CLOSED' | 'MESSAGE' | 'ABORTED';

  constructor(code: ChannelError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
  }
}

/** The limits of a wait on a channel. */
export interface ChannelWait {
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Ends the waiting with code ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** Lines of at most 1 MiB over a socket that the channel owns. */
export class Channel implements Disposable {
  readonly #socket: Socket;
  /** What has arrived and was not received yet; at most one line and what came with its end. */
  #arrived: Buffer[] = [];
  #length = 0;
  #hasLine = false;
  /** Why nothing more arrives. */
  #ended: ChannelError | undefined;
  /** Called when a line or the end has arrived. */
  #wake: () => void = () => {};

  /** Takes the socket over: it is read from here only. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (part: Buffer) => this.#take(part));
    socket.on('end', () => this.#end('CLOSED', 'the peer closed the connection'));
    socket.on('close', () => this.#end('CLOSED', 'the connection is closed'));
    socket.on('error', error =>
      this.#end('CLOSED', `the connection broke: ${error.message}`, error),
    );
  }

  /**
   * Sends a message. Resolves once the system has taken it.
   * @throws ChannelError TIMEOUT, CLOSED, ABORTED
   */
  send(message: unknown, wait: ChannelWait): Promise<void> {
    return this.#waiting('the peer did not read', wait, (done, fail) => {
      this.#socket.write(`${JSON.stringify(message)}\n`, error => {
        if (error) fail(new ChannelError('CLOSED', `cannot send: ${error.message}`, error));
        else done();
      });
    });
  }

  /**
   * The next message of the peer. One call at a time.
   * @throws ChannelError TIMEOUT, CLOSED, ABORTED; MESSAGE for a line that is too long or not JSON
   */
  async receive(wait: ChannelWait): Promise<unknown> {
    try {
      await this.#waiting('the peer said nothing', wait, (done, fail) => {
        this.#wake = () => {
          if (this.#hasLine) done();
          else if (this.#ended !== undefined) fail(this.#ended);
        };
        this.#wake();
      });
    } finally {
      this.#wake = () => {};
    }
    const line = this.#nextLine();
    try {
      return JSON.parse(line.toString('utf8'));
    } catch (error) {
      throw new ChannelError('MESSAGE', 'the peer sent a line that is not JSON', error);
    }
  }

  /** Closes once everything that was sent is written. Idempotent. */
  close(): void {
    this.#socket.destroySoon();
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    this.close();
  }

  #take(part: Buffer): void {
    this.#arrived.push(part);
    this.#length += part.length;
    this.#hasLine ||= part.includes(NEWLINE);
    if (this.#hasLine) {
      this.#socket.pause();
      this.#wake();
    } else if (this.#length > LINE_BYTES_MAX) {
      this.#end('MESSAGE', `the peer sent over ${LINE_BYTES_MAX} bytes in a line`);
      this.#socket.destroy();
    }
  }

  #nextLine(): Buffer {
    const arrived = Buffer.concat(this.#arrived);
    const end = arrived.indexOf(NEWLINE);
    const rest = arrived.subarray(end + 1);
    this.#arrived = [rest];
    this.#length = rest.length;
    this.#hasLine = rest.includes(NEWLINE);
    if (!this.#hasLine) this.#socket.resume();
    return arrived.subarray(0, end);
  }

  /** The first reason stands. */
  #end(code: ChannelError['code'], message: string, cause?: unknown): void {
    this.#ended ??= new ChannelError(code, message, cause);
    this.#wake();
  }

  #waiting(
    silence: string,
    { timeoutMs, signal }: ChannelWait,
    start: (done: () => void, fail: (error: unknown) => void) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (act: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        act();
      };
      const fail = (error: unknown): void => over(() => reject(error));
      const late = `${silence} for ${timeoutMs} ms`;
      const timer = setTimeout(() => fail(new ChannelError('TIMEOUT', late)), timeoutMs);
      const aborted = (): void => fail(new ChannelError('ABORTED', 'the waiting was aborted'));
      signal?.addEventListener('abort', aborted);
      if (signal?.aborted) aborted();
      else start(() => over(resolve), fail);
    });
  }
}
