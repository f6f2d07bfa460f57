/**
 * The file below an image while its lock is held, as qcow2 sees it: past its end there are zeros, and
 * it grows when the metadata that refers to the new part is written.
 * @module
 */
import type { Bytes } from '../lockable.js';
import { isZeros } from '../zeros.js';
import { type HostOffset, hostOffset, plus } from './units.js';
import { isZero, readWord, viewOf, type Word } from './words.js';

const CHUNK_BYTES = 64 * 2 ** 10;
const STRETCH_BYTES = 4096;

export class HostFile {
  readonly #file: Bytes;
  /** How long the file has to be before anything in it refers to what was reserved. */
  #reserved = 0;
  #failure: unknown;

  constructor(file: Bytes) {
    this.#file = file;
  }

  /** Where the file ends. */
  get length(): number {
    return this.#file.length;
  }

  /** `length` bytes, zeros where the file is shorter. */
  read(offset: HostOffset, length: number): Uint8Array {
    const there = Math.min(length, this.length - offset);
    if (there === length) return this.#file.read(offset, length);
    const padded = new Uint8Array(length);
    if (there > 0) padded.set(this.#file.read(offset, there));
    return padded;
  }

  /** The entries of a table that are not zero, by index: for callers that stop in between. */
  *entries(offset: HostOffset, length: number): Generator<readonly [index: number, word: Word]> {
    for (const [first, bytes] of this.#stretches(offset, length)) {
      const found: (readonly [number, Word])[] = [];
      eachEntryIn(bytes, (index, word) => found.push([first + index, word]));
      yield* found;
    }
  }

  /** Visits the entries of a table that are not zero: ten times as fast as a generator. */
  eachEntry(offset: HostOffset, length: number, visit: (index: number, word: Word) => void): void {
    for (const [first, bytes] of this.#stretches(offset, length)) {
      eachEntryIn(bytes, (index, word) => visit(first + index, word));
    }
  }

  /** The stretches of a table that are not all zeros, by their first entry. Most tables are empty. */
  *#stretches(offset: HostOffset, length: number): Generator<readonly [number, Uint8Array]> {
    const there = Math.max(0, Math.min(length, this.length - offset));
    for (let at = 0; at < there; at += CHUNK_BYTES) {
      const bytes = this.read(
        plus(offset, at),
        Math.ceil(Math.min(CHUNK_BYTES, there - at) / 8) * 8,
      );
      for (let from = 0; from < bytes.length; from += STRETCH_BYTES) {
        const stretch = bytes.subarray(from, from + STRETCH_BYTES);
        if (!isZeros(stretch)) yield [(at + from) / 8, stretch];
      }
    }
  }

  write(offset: HostOffset, bytes: Uint8Array): void {
    this.#demandSound();
    this.#file.write(offset, bytes);
  }

  /**
   * Writes what everything else depends on. If that fails, it is unknown which version the file has,
   * so nothing is written after it.
   */
  writeOrBreak(offset: HostOffset, bytes: Uint8Array): void {
    this.#orBreak(() => this.#file.write(offset, bytes));
  }

  /**
   * After a failed flush the system may have dropped what it was to flush, and report success the next
   * time. So one failure is final: nothing is built on writes that are perhaps lost.
   */
  flush(): void {
    this.#orBreak(() => this.#file.flush());
  }

  /** Why nothing is written any more: the failure of a flush, or of a write of the header. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Whether bytes from `offset` on were never written, so that they read as zeros. */
  isBlank(offset: HostOffset): boolean {
    return offset >= this.length;
  }

  /** The file will reach `end` before anything refers to it, and reads as zeros up to there. */
  reserve(end: HostOffset): void {
    this.#reserved = Math.max(this.#reserved, end);
  }

  /** Grows the file to what was reserved. */
  grow(): void {
    if (this.#reserved > this.length) {
      this.#demandSound();
      this.#file.truncate(this.#reserved);
    }
    this.#reserved = 0;
  }

  /** The end of the file, rounded up to a multiple of `size`. */
  endAligned(size: number): HostOffset {
    return hostOffset(Math.ceil(this.length / size) * size);
  }

  #orBreak(work: () => void): void {
    this.#demandSound();
    try {
      work();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #demandSound(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Visits the entries in the bytes of a table, by index, that are not zero. */
export function eachEntryIn(bytes: Uint8Array, visit: (index: number, word: Word) => void): void {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; at += 8) {
    const word = readWord(view, at);
    if (!isZero(word)) visit(at / 8, word);
  }
}
