/**
 * Lines for an output that may be slow, full or closed. Writing never waits and never fails, so that
 * a trace or a log neither delays nor ends what it watches: what the output does not take is kept in
 * memory up to a limit, and lines beyond it are dropped and counted.
 * @module
 */
import { errnoOf } from '../errors.js';
import { pause } from './pause.js';
import type { Output } from './surroundings.js';

/** About 40,000 trace events. */
export const PENDING_BYTES_MAX = 4 * 1024 * 1024;
const RETRY_MS = 20;

/** Lines that were not written, and the errno of the last refusal. */
export interface Loss {
  readonly lines: number;
  readonly errno: string;
}

export class LineWriter {
  readonly #output: Pick<Output, 'write'>;
  /** Lines that wait; of the first, the part that was not written yet. */
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #isInLine = false;
  #lost = 0;
  #errno = 'EAGAIN';
  #timer: NodeJS.Timeout | undefined;

  constructor(output: Pick<Output, 'write'>) {
    this.#output = output;
  }

  /** Writes a line, or keeps it, or drops it. */
  push(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    // A partial line is retried in front of every other: what is written stays whole lines.
    if (this.#pending.length > 0) this.#flush();
    if (this.#pendingBytes + bytes.length > PENDING_BYTES_MAX) {
      this.#lost += 1;
      return;
    }
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pending.length === 1) this.#flush();
    this.#retryLater();
  }

  /**
   * Writes what waits.
   * @param patienceMs how long to wait for an output that takes nothing
   * @returns what was lost since the last call; undefined if nothing was
   */
  drain(patienceMs: number): Loss | undefined {
    clearTimeout(this.#timer);
    let end = performance.now() + patienceMs;
    while (this.#pending.length > 0) {
      const before = this.#pendingBytes;
      this.#flush();
      if (this.#pendingBytes < before) end = performance.now() + patienceMs;
      else if (this.#errno !== 'EAGAIN' || performance.now() >= end) break;
      else pause();
    }
    const kept = this.#isInLine ? 1 : 0;
    const lines = this.#lost + this.#pending.length;
    this.#pending.length = Math.min(this.#pending.length, kept);
    this.#pendingBytes = this.#pending[0]?.length ?? 0;
    this.#lost = 0;
    return lines === 0 ? undefined : { lines, errno: this.#errno };
  }

  /** Writes lines until the output refuses one. */
  #flush(): void {
    let written = 0;
    try {
      for (const line of this.#pending) {
        for (let at = 0; at < line.length; ) {
          const rest = line.subarray(at);
          const length = this.#output.write(rest);
          at += length;
          this.#pendingBytes -= length;
          this.#isInLine = at < line.length;
          if (this.#isInLine) this.#pending[written] = line.subarray(at);
        }
        written += 1;
      }
    } catch (error) {
      this.#errno = errnoOf(error);
    }
    this.#pending.splice(0, written);
  }

  /** A server may have nothing more to say for long. */
  #retryLater(): void {
    if (this.#pending.length === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
      this.#retryLater();
    }, RETRY_MS);
    this.#timer.unref();
  }
}
