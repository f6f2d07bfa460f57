/**
 * One client of a text interface (qtest, QMP): carries bytes between its connection and its session,
 * one request at a time. The event loop runs between two requests, so that other clients and signals
 * have their turn however many requests a client has sent.
 * @module
 */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setImmediate as pass } from 'node:timers/promises';
import type { Connection } from './connections.js';
import { Deadline } from './deadline.js';

/** Where a session writes to its client. */
export interface Output {
  write(text: string): void;
}

/** The state that an interface keeps for one client. */
export interface Session {
  /** Handles the requests that `chunk` completes, one for each item that is taken from the iterable. */
  take(chunk: Uint8Array): Iterable<unknown>;
  /** Whether a request has begun that is not complete. */
  isPartial(): boolean;
  /** The connection has closed. */
  close(): void;
}

export type Attach = (output: Output) => Session;

/** Output that may wait for a client that does not read, in bytes: beyond it, the connection is closed. */
const UNREAD_MAX = 1024 * 1024;
/** How long a client may take to read what was written before the end, in milliseconds. */
const FAREWELL_MS = 1000;

export interface Streams {
  readonly input: Readable;
  readonly output: Writable;
}

export class Conversation implements Connection {
  readonly streams: Streams;
  #busy = false;
  #ending = false;

  constructor(streams: Streams) {
    this.streams = streams;
    // A connection that breaks has ended: its output is dropped.
    streams.output.on('error', () => {});
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Whether this is the process's own input and output, which no other client competes for. */
  get #isStdio(): boolean {
    return this.streams.output === process.stdout;
  }

  /** Resolves once the client has sent something, or has closed the connection. */
  async begun(): Promise<void> {
    const { input } = this.streams;
    const done = new AbortController();
    const events = ['readable', 'close'].map(event => once(input, event, { signal: done.signal }));
    await Promise.race(events).catch(() => {});
    done.abort();
    await Promise.allSettled(events);
    this.#busy = true;
  }

  /**
   * Runs until the connection has closed.
   * @param partialMs how long a request may stay incomplete
   * @param used called after each request
   */
  async run(attach: Attach, partialMs: number, used: () => void): Promise<void> {
    if (this.#ending) return;
    const { input, output } = this.streams;
    const deadline = new Deadline(partialMs, () => this.close());
    const session = attach({ write: text => this.#write(text) });
    try {
      this.#busy = false;
      for await (const chunk of untilBroken(input)) {
        for (const _ of session.take(chunk)) {
          deadline.clear();
          used();
          await this.#drained();
          this.#busy = true;
          await pass();
          if (this.#ending) return;
        }
        this.#busy = false;
        if (session.isPartial() && !this.#isStdio) deadline.start();
        else deadline.clear();
      }
    } finally {
      deadline.clear();
      session.close();
      if (!this.#isStdio) output.end();
    }
  }

  /** Closes the connection at once. */
  close(): void {
    this.#ending = true;
    this.streams.input.destroy();
    if (!this.#isStdio) this.streams.output.destroy();
  }

  /** Handles no further request; what was written may be read for a moment yet. */
  end(): void {
    this.#ending = true;
    const { input, output } = this.streams;
    if (this.#isStdio) {
      input.destroy();
      return;
    }
    output.end(() => output.destroy());
    setTimeout(() => output.destroy(), FAREWELL_MS).unref();
  }

  #write(text: string): void {
    const { output } = this.streams;
    output.write(text);
    if (output.writableLength > UNREAD_MAX) output.destroy();
  }

  /** Resolves once the client has read enough for more to be written, or the connection has closed. */
  async #drained(): Promise<void> {
    const { output } = this.streams;
    if (!output.writableNeedDrain || output.destroyed) return;
    this.#busy = false;
    const done = new AbortController();
    const { signal } = done;
    const either = ['drain', 'close'].map(event => once(output, event, { signal }));
    await Promise.race(either).catch(() => {});
    done.abort();
    await Promise.allSettled(either);
  }
}

/** The input up to its end, or to where the connection breaks. */
async function* untilBroken(input: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of input) yield chunk;
  } catch {
    // A connection that breaks has ended.
  }
}
