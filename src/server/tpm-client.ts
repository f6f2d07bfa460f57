/**
 * One connection to a TPM's socket: commands in, responses out, in order. While a client does not read
 * its responses, none of its further commands runs, and none is read beyond a buffer of bounded size.
 * @module
 */
import type { Socket } from 'node:net';
import type { Connection } from './connections.js';
import { Deadline } from './deadline.js';
import { type Frame, Frames } from './frames.js';
import type { Contender, Rotation } from './rotation.js';

export interface TpmClientOptions {
  readonly rotation: Rotation;
  /** Runs a command; undefined, or a promise of it, once the TPM is broken. */
  readonly run: (command: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** The most bytes of a command. */
  readonly commandBytes: number;
  /** Whether the connection ends after each response. */
  readonly disconnect: boolean;
  readonly partialMs: number;
  /** Called after each response. */
  readonly used: (client: TpmClient) => void;
  readonly notice: (sentence: string) => void;
}

export class TpmClient implements Contender, Connection {
  readonly #socket: Socket;
  readonly #options: TpmClientOptions;
  readonly #frames: Frames;
  readonly #deadline: Deadline;
  #running = false;
  /** The client has finished sending. */
  #ended = false;

  constructor(socket: Socket, options: TpmClientOptions) {
    this.#socket = socket;
    this.#options = options;
    const { partialMs, rotation, notice, commandBytes } = options;
    this.#frames = new Frames(commandBytes);
    this.#deadline = new Deadline(partialMs, () => {
      notice(`a connection was closed: its command was incomplete for ${partialMs} ms`);
      this.close();
    });
    socket.on('data', chunk => {
      this.#frames.push(chunk);
      this.#advance();
    });
    socket.on('drain', () => this.#advance());
    socket.on('end', () => {
      this.#ended = true;
      this.#advance();
    });
    socket.on('error', () => this.close());
    socket.on('close', () => {
      rotation.leave(this);
      this.#deadline.clear();
    });
  }

  get ready(): boolean {
    return this.#frames.complete && this.#canRespond;
  }

  get busy(): boolean {
    return this.#running || this.ready;
  }

  get #canRespond(): boolean {
    const { destroyed, writable, writableNeedDrain } = this.#socket;
    return !destroyed && writable && !writableNeedDrain;
  }

  turn(): void | Promise<void> {
    const frame = this.#frames.take();
    if (frame === undefined) return;
    this.#deadline.clear();
    if (frame.is === 'control') {
      this.#refuse(frame.name);
      return;
    }
    const response = this.#options.run(frame.bytes);
    if (!(response instanceof Promise)) {
      this.#respond(frame, response);
      return;
    }
    this.#running = true;
    return response.then(later => {
      this.#running = false;
      this.#respond(frame, later);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #respond({ is }: Frame, response: Uint8Array | undefined): void {
    const socket = this.#socket;
    this.#options.used(this);
    if (socket.destroyed) return;
    if (response !== undefined) socket.write(response);
    const isLast = response === undefined || this.#options.disconnect || is === 'malformed';
    if (isLast) socket.destroySoon();
    else this.#flow();
  }

  #refuse(name: string): void {
    this.#options.notice(
      `received ${name} of swtpm's control protocol, as QEMU's -tpmdev emulator sends it; ` +
        'this socket is --server and takes TPM commands only; the connection was closed',
    );
    this.close();
  }

  #advance(): void {
    this.#options.rotation.enter(this);
    this.#flow();
  }

  /** Reads on only while a command is incomplete and its response can be written. */
  #flow(): void {
    const socket = this.#socket;
    const reads = !socket.writableNeedDrain && !this.#frames.complete;
    if (reads && this.#ended) socket.end();
    if (reads && this.#frames.partial) this.#deadline.start();
    else this.#deadline.clear();
    if (!reads) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }
}
