/**
 * One client of the control channel: its messages in order, one at a time, each answered with one write
 * before the next is read.
 * @module
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { encode, u32 } from '../../wire/codec.js';
import { ControlStream, type Head, requestOf } from '../control-messages.js';
import { Deadline } from '../deadline.js';
import { closeAll, type FirstBytes, type Opening, socketOver } from './descriptor.js';
import { handle, type Scene } from './handlers.js';
import { RESULT, Refusal, refusalOf } from './results.js';

export interface ControlClientOptions {
  readonly scene: Omit<Scene, 'attachData' | 'isMachine'>;
  /** Takes TPM commands from the data channel. */
  readonly attach: (data: Socket) => void;
  readonly partialMs: number;
  readonly notice: (sentence: string) => void;
  /** Called with what is thrown and is no refusal, which is a bug. */
  readonly fail: (error: unknown) => void;
}

export class ControlClient {
  readonly #socket: Socket;
  readonly #options: ControlClientOptions;
  readonly #stream = new ControlStream();
  readonly #scene: Scene;
  readonly #deadline: Deadline;
  /** What came with the first message, until a message uses it. */
  #descriptors: readonly number[] = [];
  #first: FirstBytes | undefined;
  #data: Socket | undefined;
  #hasSpoken = false;
  #isAnswering = false;
  #hasEnded = false;

  constructor(socket: Socket, options: ControlClientOptions) {
    this.#socket = socket;
    this.#options = options;
    const { scene } = options;
    const isMachine = (): boolean => this.#data !== undefined;
    this.#scene = {
      tpm: scene.tpm,
      shutdown: scene.shutdown,
      rejectLocality4: scene.rejectLocality4,
      attachData: () => this.#attachData(),
      get isMachine() {
        return isMachine();
      },
    };
    this.#deadline = new Deadline(options.partialMs, () => {
      options.notice(
        `the control connection was closed: its message was incomplete for ${options.partialMs} ms`,
      );
      this.close();
    });
    socket.on('error', () => this.close());
    socket.on('close', () => {
      this.#deadline.clear();
      closeAll(this.#descriptors);
      this.#descriptors = [];
    });
  }

  /** Whether it has sent something. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  /** The data channel that it has passed: it is a virtual machine, and its end a power-off. */
  get data(): Socket | undefined {
    return this.#data;
  }

  /** @param first reads the start of the connection; undefined where the event loop does */
  start(first: FirstBytes | undefined): void {
    this.#first = first;
    if (first === undefined) this.#read();
    else void first.opening.then(opening => this.#open(opening));
  }

  close(): void {
    this.#first?.cancel();
    this.#socket.destroy();
  }

  #open(opening: Opening | undefined): void {
    this.#first = undefined;
    if (opening === undefined || this.#socket.destroyed) {
      closeAll(opening?.descriptors ?? []);
      this.#socket.destroy();
      return;
    }
    this.#descriptors = opening.descriptors;
    this.#push(opening.bytes);
    this.#read();
  }

  #read(): void {
    this.#socket.on('data', chunk => this.#push(chunk));
    this.#socket.on('end', () => {
      this.#hasEnded = true;
      this.#advance();
    });
    if (!this.#isAnswering) this.#socket.resume();
  }

  #push(chunk: Uint8Array): void {
    this.#hasSpoken = true;
    this.#stream.push(chunk);
    this.#advance();
  }

  #advance(): void {
    if (this.#isAnswering || this.#socket.destroyed) return;
    const { head } = this.#stream;
    if (head.is === 'incomplete') {
      if (this.#stream.partial) this.#deadline.start();
      if (this.#hasEnded) this.#socket.end();
      return;
    }
    this.#deadline.clear();
    this.#isAnswering = true;
    this.#socket.pause();
    this.#answer(head)
      .catch(this.#options.fail)
      .finally(() => {
        this.#isAnswering = false;
        if (this.#socket.destroyed) return;
        if (!this.#hasEnded) this.#socket.resume();
        this.#advance();
      });
  }

  async #answer(head: Exclude<Head, { is: 'incomplete' }>): Promise<void> {
    const response = await this.#respond(head);
    const socket = this.#socket;
    if (socket.destroyed) return;
    const isWritten = socket.write(response);
    if (head.is !== 'message') {
      // Where the next message begins is unknown.
      this.#stream.discard();
      if (head.is === 'too long') socket.destroySoon();
    }
    if (!isWritten)
      await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
  }

  async #respond(head: Exclude<Head, { is: 'incomplete' }>): Promise<Uint8Array> {
    if (head.is === 'unknown') {
      return this.#refuse(
        `control message ${head.number}`,
        new Refusal(RESULT.BAD_ORDINAL, 'it is unknown'),
      );
    }
    const { name } = head;
    const number = `CMD_${name}`;
    if (head.is === 'too long') {
      return this.#refuse(
        number,
        new Refusal(RESULT.BAD_PARAMETER, `it claims ${head.claimed} bytes`),
      );
    }
    const request = requestOf(name, this.#stream.take(head.length));
    try {
      return await handle(name, request, this.#scene);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      return this.#refuse(number, refusal);
    } finally {
      closeAll(this.#descriptors);
      this.#descriptors = [];
    }
  }

  #refuse(what: string, { result, message }: Refusal): Uint8Array {
    const code = `0x${result.toString(16)}`;
    this.#options.notice(`${what} was answered ${code}: ${message}`);
    return encode(u32, result);
  }

  #attachData(): void {
    const [fd, ...extra] = this.#descriptors;
    this.#descriptors = [];
    closeAll(extra);
    if (fd === undefined) {
      throw new Refusal(
        RESULT.IO_ERROR,
        'no descriptor came with it as the first message of a Unix socket',
      );
    }
    const data = socketOver(fd);
    if (data === undefined)
      throw new Refusal(RESULT.IO_ERROR, 'the descriptor is not a stream socket');
    this.#data = data;
    this.#options.attach(data);
  }
}
