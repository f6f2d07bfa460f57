/**
 * A file that is damaged, used, compared with what it was, and restored, many times over.
 * @module
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';

const CHUNK_BYTES = 64 * 1024;
/** Bit 1 of the incompatible features of a qcow2 header. */
const CORRUPT_BIT = { byte: 79, mask: 2 } as const;

export type Change = 'none' | 'corrupt bit' | 'more';

export class DamagedCopy implements Disposable {
  readonly #fd: number;
  readonly #sound: Buffer;
  /** What is in the file after the damage. */
  readonly #damaged: Buffer;
  readonly #found: Buffer;
  #length: number;

  /** @param path a sound file, which is damaged in place */
  constructor(path: string) {
    this.#sound = readFileSync(path);
    this.#damaged = Buffer.from(this.#sound);
    this.#found = Buffer.alloc(this.#sound.length);
    this.#length = this.#sound.length;
    this.#fd = openSync(path, 'r+');
  }

  get sound(): Uint8Array {
    return this.#sound;
  }

  flip(offset: number, bit: number): void {
    this.#damaged[offset]! ^= 1 << bit;
    writeSync(this.#fd, this.#damaged, offset, 1, offset);
  }

  truncate(length: number): void {
    this.#length = length;
    ftruncateSync(this.#fd, length);
  }

  /** What was changed in the file since the damage: nothing, the corrupt bit of its header, or more. */
  get change(): Change {
    if (fstatSync(this.#fd).size !== this.#length) return 'more';
    readSync(this.#fd, this.#found, 0, this.#length, 0);
    if (this.#isNow(this.#damaged, 0, this.#length)) return 'none';
    this.#found[CORRUPT_BIT.byte]! ^= CORRUPT_BIT.mask;
    return this.#isNow(this.#damaged, 0, this.#length) ? 'corrupt bit' : 'more';
  }

  /** Makes the file sound again. */
  restore(): void {
    const { length } = this.#sound;
    this.#length = length;
    ftruncateSync(this.#fd, length);
    readSync(this.#fd, this.#found, 0, length, 0);
    for (let at = 0; at < length; at += CHUNK_BYTES) {
      const end = Math.min(length, at + CHUNK_BYTES);
      if (!this.#isNow(this.#sound, at, end)) writeSync(this.#fd, this.#sound, at, end - at, at);
      // Also where a power on has mended the damage.
      this.#sound.copy(this.#damaged, at, at, end);
    }
  }

  #isNow(expected: Buffer, from: number, to: number): boolean {
    return expected.compare(this.#found, from, to, from, to) === 0;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
