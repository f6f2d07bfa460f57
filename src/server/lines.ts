/**
 * Text lines in a stream, with a limit: a longer line is reported once, and skipped.
 * @module
 */

/** Marks a line that was too long. */
export const TOO_LONG = Symbol('too long');

export class Lines {
  readonly #max: number;
  readonly #decoder = new TextDecoder();
  #rest = '';
  #skipping = false;

  /** @param max characters that a line may have */
  constructor(max: number) {
    this.#max = max;
  }

  /** Whether a line has begun that is not complete. */
  get partial(): boolean {
    return this.#skipping || this.#rest !== '';
  }

  /** The lines that `chunk` completes, without their ends (LF or CR LF). */
  *push(chunk: Uint8Array): Generator<string | typeof TOO_LONG> {
    const parts = this.#decoder.decode(chunk, { stream: true }).split('\n');
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1;
      if (!this.#skipping) this.#rest += part;
      if (this.#rest.length > this.#max) {
        this.#rest = '';
        this.#skipping = true;
        yield TOO_LONG;
      }
      if (last) return;
      if (!this.#skipping) yield this.#rest.replace(/\r$/, '');
      this.#rest = '';
      this.#skipping = false;
    }
  }
}
