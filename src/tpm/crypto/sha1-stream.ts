/**
 * A SHA-1 (FIPS 180-4, §6.1) that can be put aside half-way and taken up in another process: the
 * hash sequence of locality 4 may be under way when a machine migrates, and node:crypto does not
 * let go of what it has inside.
 * @module
 */
import { bytes, type Of, sized, struct, u8, u64 } from '../../wire/codec.js';

const BLOCK_BYTES = 64;
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];

/** Everything that there is to know of a SHA-1 under way. */
// biome-ignore format: table
export const sha1Progress = struct({
  chain:   bytes(20),
  length:  u64,
  pending: sized(u8),
});
type Sha1Progress = Of<typeof sha1Progress>;

export class Sha1Stream {
  readonly #chain = new Uint32Array(START);
  readonly #block = new Uint8Array(BLOCK_BYTES);
  readonly #words = new Uint32Array(80);
  #length = 0;

  /** Goes on where another left off. */
  static resume({ chain, length, pending }: Sha1Progress): Sha1Stream {
    const stream = new Sha1Stream();
    const view = new DataView(chain.buffer, chain.byteOffset);
    for (let i = 0; i < stream.#chain.length; i += 1) stream.#chain[i] = view.getUint32(4 * i);
    stream.#block.set(pending.subarray(0, BLOCK_BYTES));
    stream.#length = length;
    return stream;
  }

  progress(): Sha1Progress {
    const pending = this.#block.slice(0, this.#length % BLOCK_BYTES);
    return { chain: this.#chainBytes(), length: this.#length, pending };
  }

  update(data: Uint8Array): void {
    for (const byte of data) {
      this.#block[this.#length % BLOCK_BYTES] = byte;
      this.#length += 1;
      if (this.#length % BLOCK_BYTES === 0) this.#compress();
    }
  }

  finish(): Uint8Array {
    const bits = 8 * this.#length;
    this.update(Uint8Array.of(0x80));
    while (this.#length % BLOCK_BYTES !== BLOCK_BYTES - 8) this.update(Uint8Array.of(0));
    const tail = new DataView(new ArrayBuffer(8));
    tail.setUint32(0, Math.floor(bits / 2 ** 32));
    tail.setUint32(4, bits % 2 ** 32);
    this.update(new Uint8Array(tail.buffer));
    return this.#chainBytes();
  }

  #chainBytes(): Uint8Array {
    const view = new DataView(new ArrayBuffer(20));
    this.#chain.forEach((word, i) => {
      view.setUint32(4 * i, word);
    });
    return new Uint8Array(view.buffer);
  }

  #compress(): void {
    const w = this.#words;
    const view = new DataView(this.#block.buffer);
    for (let t = 0; t < 16; t += 1) w[t] = view.getUint32(4 * t);
    for (let t = 16; t < 80; t += 1) {
      w[t] = rotate((w[t - 3]! ^ w[t - 8]! ^ w[t - 14]! ^ w[t - 16]!) >>> 0, 1);
    }
    let [a, b, c, d, e] = [...this.#chain] as [number, number, number, number, number];
    for (let t = 0; t < 80; t += 1) {
      const { f, k } = round(t, b, c, d);
      const next = (rotate(a, 5) + f + e + k + w[t]!) >>> 0;
      [e, d, c, b, a] = [d, c, rotate(b, 30), a, next];
    }
    [a, b, c, d, e].forEach((word, i) => {
      // A Uint32Array takes the sum modulo 2^32, as the standard wants it.
      this.#chain[i] = this.#chain[i]! + word;
    });
  }
}

const rotate = (word: number, by: number): number => ((word << by) | (word >>> (32 - by))) >>> 0;

/** The function and the constant of round t. */
function round(t: number, b: number, c: number, d: number): { f: number; k: number } {
  if (t < 20) return { f: ((b & c) | (~b & d)) >>> 0, k: 0x5a827999 };
  if (t < 40) return { f: (b ^ c ^ d) >>> 0, k: 0x6ed9eba1 };
  if (t < 60) return { f: ((b & c) | (b & d) | (c & d)) >>> 0, k: 0x8f1bbcdc };
  return { f: (b ^ c ^ d) >>> 0, k: 0xca62c1d6 };
}
