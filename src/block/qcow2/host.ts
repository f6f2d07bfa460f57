/**
 * The file below an image, as qcow2 sees it: past its end there are zeros, and it grows when the
 * metadata that speaks of the new part is written.
 * @module
 */
import type { Bytes } from '../lockable.js';
import type { ProtocolNode } from '../node.js';

export class HostFile {
  /** The file while its lock is held; before that, what can be seen of it without. */
  #node: Pick<Bytes, 'length' | 'read'> & Partial<Bytes>;
  readonly #peek: Pick<Bytes, 'length' | 'read'>;
  /** How long the file has to be, before anything in it refers to what was reserved. */
  #reserved = 0;
  #flushFailed: unknown;

  constructor(file: ProtocolNode) {
    this.#peek = {
      length: Number.MAX_SAFE_INTEGER,
      read(offset, length) {
        const bytes = new Uint8Array(length);
        bytes.set(file.peek(offset, length));
        return bytes;
      },
    };
    this.#node = this.#peek;
  }

  get node(): Bytes {
    return this.#node as Bytes;
  }

  attach(below: Bytes): void {
    this.#node = below;
  }

  detach(): void {
    this.#reserved = 0;
    this.#node = this.#peek;
  }

  /** Where the file ends, counting what is reserved. */
  get length(): number {
    return Math.max(this.node.length, this.#reserved);
  }

  /** `length` bytes, zeros where the file is shorter. */
  read(offset: number, length: number): Uint8Array {
    const there = Math.min(length, this.node.length - offset);
    if (there === length) return this.node.read(offset, length);
    const padded = new Uint8Array(length);
    if (there > 0) padded.set(this.node.read(offset, there));
    return padded;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#demandFlushed();
    this.node.write(offset, bytes);
  }

  /**
   * A system that failed to flush may have dropped what it was to flush, and report success the
   * next time. So one failure is final: nothing is built on writes that are perhaps lost.
   */
  flush(): void {
    this.#demandFlushed();
    try {
      this.node.flush();
    } catch (error) {
      this.#flushFailed = error;
      throw error;
    }
  }

  /** Whether a flush failed: whoever wants to go on has to open the file again. */
  get isBroken(): boolean {
    return this.#flushFailed !== undefined;
  }

  #demandFlushed(): void {
    if (this.isBroken) throw this.#flushFailed;
  }

  /** Whether bytes from `offset` on were never written, so that they read as zeros. */
  isBlank(offset: number): boolean {
    return offset >= this.node.length;
  }

  /** Makes sure that the file will reach `end`, and reads as zeros up to there. */
  reserve(end: number): void {
    this.#reserved = Math.max(this.#reserved, end);
  }

  /** Grows the file to what was reserved. */
  grow(): void {
    if (this.#reserved > this.node.length) this.node.truncate(this.#reserved);
    this.#reserved = 0;
  }
}
