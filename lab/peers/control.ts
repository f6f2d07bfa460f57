/** A client of swtpm's control channel: whole messages out, whole responses in. */
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { concat, encode, u32 } from '../../src/wire/codec.js';
import { hex, toHex, word } from '../files.js';
import { overDescriptor, sendWith, socketPair } from './descriptors.js';

/** The number of bytes of a response that succeeds; of a refusal, 4. */
// biome-ignore format: table
const RESPONSE_BYTES: Readonly<Record<number, (got: Uint8Array) => number>> = {
  1:  () => 8,
  4:  () => 8,
  12: got => (got.length < 16 ? 16 : 16 + word(got, 12)),
  15: () => 8,
  17: () => 16,
  18: got => (got.length < 12 ? 12 : 12 + word(got, 8)),
};
const ABSENT = 0x800;

export class ControlClient {
  readonly socket: Socket;
  #got: Uint8Array = new Uint8Array();
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Uint8Array) => {
      this.#got = concat(this.#got, chunk);
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#wake());
    socket.on('end', () => socket.destroy());
  }

  static async open(at: string | number): Promise<ControlClient> {
    const socket = typeof at === 'string' ? connect(at) : connect(at, '127.0.0.1');
    await once(socket, 'connect');
    return new ControlClient(socket);
  }

  /** Sends a message in hex; its response in hex, or what there was of it where the connection ended. */
  async ask(message: string): Promise<string> {
    const bytes = hex(message);
    this.socket.write(bytes);
    return toHex(await this.response(word(bytes)));
  }

  /** The response to message `number`, sent before. */
  async response(number: number): Promise<Uint8Array> {
    await this.#atLeast(number === 1 ? 8 : 4);
    const code = this.#got.length < 4 ? 0 : word(this.#got);
    const isWhole = number === 1 || code === 0 || (number === 12 && code === ABSENT);
    const bytes = RESPONSE_BYTES[number] ?? (() => 4);
    if (isWhole) {
      await this.#atLeast(Math.min(bytes(this.#got), 16));
      await this.#atLeast(bytes(this.#got));
    }
    const response = this.#got.slice(0, isWhole ? bytes(this.#got) : 4);
    this.#got = this.#got.slice(response.length);
    return response;
  }

  /** SET_DATAFD with one end of a new pair; the other end, and the response in hex. */
  async setDataFd(): Promise<{ data: Socket; response: string }> {
    const [mine, theirs] = socketPair();
    sendWith(this.socket, encode(u32, 16), [theirs]);
    const response = toHex(await this.response(16));
    closeSync(theirs);
    return { data: overDescriptor(mine), response };
  }

  async closed(): Promise<void> {
    if (!this.socket.destroyed) await once(this.socket, 'close');
  }

  close(): void {
    this.socket.destroy();
  }

  async #atLeast(bytes: number): Promise<void> {
    while (this.#got.length < bytes && !this.socket.destroyed) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }
}
