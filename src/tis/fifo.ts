/**
 * The buffer that a command goes in by and a response comes out of. It has its full size from the
 * start and never grows, whatever a guest writes or a size field claims.
 * @module
 */
import { assert } from '../assert.js';

export class Fifo {
  readonly #bytes: Uint8Array;
  #length = 0;
  #at = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** How many bytes were put in. */
  get length(): number {
    return this.#length;
  }

  /** How many of them were taken out. */
  get at(): number {
    return this.#at;
  }

  /** How many bytes can still be put in. */
  get room(): number {
    return this.#bytes.length - this.#length;
  }

  /** How many bytes can still be taken out. */
  get left(): number {
    return this.#length - this.#at;
  }

  clear(): void {
    this.#length = 0;
    this.#at = 0;
  }

  rewind(): void {
    this.#at = 0;
  }

  /** Puts one byte in. The caller has seen that there is room. */
  push(byte: number): void {
    assert(this.#length < this.#bytes.length);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** Takes one byte out. The caller has seen that one is left. */
  pull(): number {
    assert(this.#at < this.#length);
    const byte = this.#bytes[this.#at]!;
    this.#at += 1;
    return byte;
  }

  /** Holds `contents` from now on, of which `at` bytes were taken out. */
  fill(contents: Uint8Array, at = 0): void {
    assert(contents.length <= this.#bytes.length && at <= contents.length);
    this.#bytes.set(contents);
    this.#length = contents.length;
    this.#at = at;
  }

  /** A copy of what was put in. */
  contents(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** The size field that commands and responses have at offset 2, once it is there. */
  get sizeField(): number | undefined {
    return this.#length < 6 ? undefined : sizeField(this.#bytes);
  }

  /** Whether what is in here is a complete command: as long as it says, or as long as it can be. */
  get complete(): boolean {
    const size = this.sizeField;
    return (size !== undefined && this.#length >= size) || this.room === 0;
  }
}

/** The size field of a command or response (TPM Main Part 3, TPM 2.0 Part 1: tag, size, code). */
export const sizeField = (bytes: Uint8Array): number =>
  bytes[2]! * 0x100_0000 + bytes[3]! * 0x1_0000 + bytes[4]! * 0x100 + bytes[5]!;
