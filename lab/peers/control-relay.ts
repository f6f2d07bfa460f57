/**
 * Between QEMU and its TPM backend: passes the control channel on, the descriptor of SET_DATAFD included,
 * and records what passes. The data channel goes past it.
 */

import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { loadMessageSocket } from '../../src/native/recvmsg.js';
import { type Scope, toHex } from '../files.js';
import { sendWith } from './descriptors.js';

export interface Passed {
  readonly from: 'qemu' | 'backend';
  readonly hex: string;
}

const FIRST_BYTES = 4;

export class ControlRelay {
  readonly #backend: string;
  /** What has passed, in order; what arrived together is one. */
  readonly passed: Passed[] = [];
  /** Called with each before it is passed on: whether it is. */
  before: (passing: Passed) => Promise<boolean> = async () => true;
  #server!: Server;

  private constructor(backend: string) {
    this.#backend = backend;
  }

  /** Listens at `path`, for one client; closed after the test. */
  static async open(t: Scope, path: string, backend: string): Promise<ControlRelay> {
    const relay = new ControlRelay(backend);
    relay.#server = createServer({ pauseOnConnect: true }, socket => void relay.#pass(socket));
    relay.#server.listen(path);
    await once(relay.#server, 'listening');
    t.teardown(() => void relay.#server.close());
    return relay;
  }

  async #pass(qemu: Socket): Promise<void> {
    const backend = connect(this.#backend);
    await once(backend, 'connect');
    // One at a time: what `before` does is done before anything else passes, an end included.
    let last: Promise<void> = Promise.resolve();
    const next = (act: () => void | Promise<void>): void => void (last = last.then(act));
    for (const [one, other] of [
      [qemu, backend],
      [backend, qemu],
    ] as const) {
      one.on('error', () => one.destroy());
      one.on('close', () => next(() => other.destroySoon()));
    }
    const fd = (qemu as unknown as { _handle: { fd: number } })._handle.fd;
    const { readable, receive } = loadMessageSocket();
    await readable(fd);
    const first = receive(fd, FIRST_BYTES);
    if (first.is !== 'bytes') throw new Error(`QEMU has sent ${first.is}`);
    this.#record('qemu', first.bytes);
    sendWith(backend, first.bytes, first.descriptors);
    first.descriptors.forEach(closeSync);
    const relay = (from: Passed['from'], chunk: Uint8Array, to: Socket): void =>
      next(async () => {
        if (await this.before(this.#record(from, chunk))) to.write(chunk);
      });
    qemu.on('data', chunk => relay('qemu', chunk, backend));
    backend.on('data', chunk => relay('backend', chunk, qemu));
    qemu.resume();
  }

  #record(from: Passed['from'], bytes: Uint8Array): Passed {
    const passing = { from, hex: toHex(bytes) };
    this.passed.push(passing);
    return passing;
  }
}
