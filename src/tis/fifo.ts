/**
 * The buffer of a command that is written or a response that is read. It has its full size from the
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

  /** How many bytes can still be appended. */
  get room(): number {
    return this.#bytes.length - this.#length;
  }

  /** How many bytes are still to be removed. */
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

  /** Appends a byte. There must be room. */
  push(byte: number): void {
    assert(this.#length < this.#bytes.length);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** Removes the next byte. One must be left. */
  pull(): number {
    const byte = this.#bytes[this.#at];
    assert(byte !== undefined && this.#at < this.#length);
    this.#at += 1;
    return byte;
  }

  /** Replaces the contents by `contents`, of which `at` bytes have been removed. */
  fill(contents: Uint8Array, at = 0): void {
    assert(contents.length <= this.#bytes.length && at <= contents.length);
    this.#bytes.set(contents);
    this.#length = contents.length;
    this.#at = at;
  }

  /** A copy of the contents, removed bytes included. */
  contents(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** The size field at offset 2; undefined while it is incomplete. */
  get sizeField(): number | undefined {
    return this.#length < 6 ? undefined : sizeField(this.#bytes);
  }

  /** Whether the contents are a complete command: as long as its size field, or as the buffer. */
  get complete(): boolean {
    const size = this.sizeField;
    return (size !== undefined && this.#length >= size) || this.room === 0;
  }
}

/** The size field of a command or response of at least 6 bytes (tag, size, code). */
export const sizeField = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(2);
