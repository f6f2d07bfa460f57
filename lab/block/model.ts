/**
 * What a disk may hold after operations some of which failed: for each byte the value of the last one
 * that succeeded, or a value that a failed one was to write or to make visible.
 */

/** More than one other value is possible. */
const ANY = 256;
const NONE = -1;

export class Model {
  #expected: Uint8Array;
  /** Another value that is as good, per byte: NONE, a value, or ANY. */
  #other: Int16Array;
  /** What the changes since the last flush replaced. A lost lock may bring it back. */
  #replaced: { readonly at: number; readonly bytes: Uint8Array; readonly other: Int16Array }[] = [];

  constructor(disk: Uint8Array) {
    this.#expected = disk.slice();
    this.#other = new Int16Array(disk.length).fill(NONE);
  }

  get length(): number {
    return this.#expected.length;
  }

  /** Runs a change of bytes; if it throws, they hold what was there or what was to come, in any mixture. */
  change(at: number, bytes: Uint8Array, work: () => void): void {
    const end = at + bytes.length;
    const before = { bytes: this.#expected.slice(at, end), other: this.#other.slice(at, end) };
    this.#replaced.push({ at, ...before });
    try {
      work();
    } catch (error) {
      this.#also(at, bytes);
      throw error;
    }
    this.#expected.set(bytes, at);
    this.#other.fill(NONE, at, at + bytes.length);
  }

  /** The disk became longer, or may have. */
  grow(length: number): void {
    if (length <= this.length) return;
    const expected = new Uint8Array(length);
    expected.set(this.#expected);
    this.#expected = expected;
    const other = new Int16Array(length).fill(NONE);
    other.set(this.#other);
    this.#other = other;
  }

  flushed(): void {
    this.#replaced = [];
  }

  /** What was not flushed may be lost. */
  lost(): void {
    for (const { at, bytes, other } of this.#replaced) {
      this.#also(at, bytes);
      this.#also(at, other);
    }
    this.#replaced = [];
  }

  /** The first byte that has no business there, as a sentence. */
  foreign(disk: Uint8Array): string | undefined {
    for (let at = 0; at < disk.length; at += 1) {
      const found = disk[at];
      const other = this.#other[at];
      if (found === this.#expected[at] || found === other || other === ANY) continue;
      return `byte ${at} is ${found}, and not ${this.#expected[at]}${other === NONE ? '' : ` or ${other}`}`;
    }
    return undefined;
  }

  #also(at: number, values: Uint8Array | Int16Array): void {
    for (let i = 0; i < values.length; i += 1) {
      const value = values[i]!;
      const other = this.#other[at + i]!;
      if (value === NONE || value === this.#expected[at + i] || value === other) continue;
      this.#other[at + i] = other === NONE ? value : ANY;
    }
  }
}
