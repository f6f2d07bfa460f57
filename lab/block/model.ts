/**
 * What a disk may hold after operations some of which failed: for each byte the value of the last one
 * that succeeded, or a value that a failed one was to write or to make visible.
 */
import { sameBytes } from './same-bytes.js';

/** The least that is compared as a whole: the clusters of most images here. */
const PAGE_BYTES = 512;

export class Model {
  #expected: Uint8Array;
  /** Another value that is as good, per byte; the expected one where there is no other. */
  #other: Uint8Array;
  /** 1 for each byte for which more than two values are possible. */
  #any: Uint8Array;
  /** What the changes since the last flush replaced. A lost lock may bring it back. */
  #replaced: { readonly at: number; readonly before: readonly Uint8Array[] }[] = [];

  constructor(disk: Uint8Array) {
    this.#expected = disk.slice();
    this.#other = disk.slice();
    this.#any = new Uint8Array(disk.length);
  }

  get length(): number {
    return this.#expected.length;
  }

  /** Runs a change of bytes; if it throws, they hold what was there or what was to come, in any mixture. */
  change(at: number, bytes: Uint8Array, work: () => void): void {
    const end = at + bytes.length;
    const values = [this.#expected, this.#other, this.#any];
    this.#replaced.push({ at, before: values.map(each => each.slice(at, end)) });
    try {
      work();
    } catch (error) {
      this.#also(at, bytes);
      throw error;
    }
    this.#expected.set(bytes, at);
    this.#other.set(bytes, at);
    this.#any.fill(0, at, end);
  }

  /** The disk became longer, or may have. */
  grow(length: number): void {
    if (length <= this.length) return;
    this.#expected = grown(this.#expected, length);
    this.#other = grown(this.#other, length);
    this.#any = grown(this.#any, length);
  }

  flushed(): void {
    this.#replaced = [];
  }

  /** What was not flushed may be lost. */
  lost(): void {
    for (const { at, before } of this.#replaced) {
      const [expected, other, any] = before as [Uint8Array, Uint8Array, Uint8Array];
      this.#also(at, expected);
      this.#also(at, other);
      for (let i = 0; i < any.length; i += 1) this.#any[at + i]! |= any[i]!;
    }
    this.#replaced = [];
  }

  /** The first byte that was never written there, as a sentence. */
  foreign(disk: Uint8Array, from = 0, to = disk.length): string | undefined {
    if (sameBytes(disk, this.#expected, from, to)) return undefined;
    if (sameBytes(disk, this.#other, from, to)) return undefined;
    if (to - from <= PAGE_BYTES) return this.#foreignIn(disk, from, to);
    const step = Math.max(PAGE_BYTES, Math.ceil((to - from) / 8));
    for (let at = from; at < to; at += step) {
      const foreign = this.foreign(disk, at, Math.min(at + step, to));
      if (foreign !== undefined) return foreign;
    }
    return undefined;
  }

  #foreignIn(disk: Uint8Array, from: number, to: number): string | undefined {
    const [expected, others, any] = [this.#expected, this.#other, this.#any];
    for (let at = from; at < to; at += 1) {
      const [found, wanted, other] = [disk[at], expected[at], others[at]];
      if (found === wanted || found === other || any[at] === 1) continue;
      return `byte ${at} is ${found}, and not ${wanted}${other === wanted ? '' : ` or ${other}`}`;
    }
    return undefined;
  }

  #also(at: number, values: Uint8Array): void {
    const [expected, others, any] = [this.#expected, this.#other, this.#any];
    for (let i = 0; i < values.length; i += 1) {
      const [value, wanted, other] = [values[i]!, expected[at + i]!, others[at + i]!];
      if (value === wanted || value === other) continue;
      if (other === wanted) others[at + i] = value;
      else any[at + i] = 1;
    }
  }
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  const longer = new Uint8Array(length);
  longer.set(bytes);
  return longer;
}
