/**
 * Structures in bytes. A codec says how one value lies in bytes, big-endian (as TPM Main Part 2 §2.1
 * and the qcow2 format both have it). The parser and the serialiser are read off the one
 * declaration, so they cannot drift apart, and decode∘encode is the identity both ways.
 * @module
 */
import assert from 'node:assert/strict';
import { NvtpmError } from '../errors.js';

/** Typed as a method is, so that a codec of anything takes every codec. */
type Wipe<T> = { wipe(value: T): void }['wipe'];

/** A value and its bytes: how to read it, and how to write it. */
export interface Codec<T> {
  /** The bytes that a value takes, where all values take the same. */
  readonly size: number | undefined;
  /** @throws WireError SHORT, VALUE */
  read(from: Reader): T;
  /** @throws WireError VALUE */
  write(to: Writer, value: T): void;
  /** Overwrites what of a value is marked as secret; absent where nothing is. */
  readonly wipe?: Wipe<T> | undefined;
}
/** The type of a codec's values. */
export type Of<C> = C extends Codec<infer T> ? T : never;

/** SHORT: bytes are missing. TRAILING: bytes are left over. VALUE: a value that is not allowed there. */
export type WireErrorCode = 'SHORT' | 'TRAILING' | 'VALUE';

/** Bytes that are not such a structure, or a value that no such structure can hold. */
export class WireError extends NvtpmError {
  override readonly name = 'WireError';
  readonly outcome = 'FAILED';
  readonly code: WireErrorCode;
  readonly reason: string;
  /** The path of fields to the fault, outermost first: `permission.attributes`. */
  readonly path: string;

  constructor(code: WireErrorCode, reason: string, path = '') {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.code = code;
    this.reason = reason;
    this.path = path;
  }

  /** The same fault, with the enclosing field added to the path. */
  within(field: string): WireError {
    const path = this.path === '' ? field : `${field}.${this.path}`;
    return new WireError(this.code, this.reason, path);
  }
}

/** Walks over bytes from front to back. Every step is checked against what is left. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A plain view even of a Buffer: Buffer.slice() shares memory where Uint8Array.slice() copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes were read so far. */
  get at(): number {
    return this.#at;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** The next byte, left where it is; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next `length` bytes, as a copy that is the caller's to keep. */
  take(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#bytes.slice(from, from + length);
  }

  /** The next `size` bytes (1 to 6) as a big-endian number. */
  uint(size: number): number {
    const from = this.#advance(size);
    let value = 0;
    // Multiplied, not shifted: `byte << 24` is negative from 0x80 on.
    for (let i = from; i < from + size; i += 1) value = value * 256 + this.#bytes[i]!;
    return value;
  }

  #advance(length: number): number {
    if (length > this.left) {
      throw new WireError('SHORT', `${length} bytes wanted, ${this.left} left`);
    }
    const from = this.#at;
    this.#at += length;
    return from;
  }
}

/** Collects bytes from front to back, in one buffer that doubles when it is full. */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  /** @param expected how many bytes there will be, where that is known: saves growing */
  constructor(expected = 256) {
    this.#bytes = new Uint8Array(expected);
  }

  /** Appends bytes. */
  put(part: Uint8Array): void {
    const from = this.#advance(part.length);
    this.#bytes.set(part, from);
  }

  /** `value` as a big-endian number of `size` bytes. The caller has checked that it fits. */
  uint(value: number, size: number): void {
    const from = this.#advance(size);
    for (let i = from + size - 1, rest = value; i >= from; i -= 1, rest = Math.floor(rest / 256)) {
      this.#bytes[i] = rest % 256;
    }
  }

  /** All bytes so far. */
  finish(): Uint8Array {
    const whole = this.#length === this.#bytes.length;
    return whole ? this.#bytes : this.#bytes.slice(0, this.#length);
  }

  #advance(length: number): number {
    const from = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, from));
      this.#bytes = larger;
    }
    return from;
  }
}

/** Joins parts into plain bytes, never a Buffer. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether two runs of bytes are the same. Not for secrets: it takes longer the more agrees. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Reads one value that fills `bytes` to the last byte. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const from = new Reader(bytes);
  const value = codec.read(from);
  if (from.left > 0) throw new WireError('TRAILING', `${from.left} bytes too many`);
  return value;
}

/** @param expected how many bytes it will roughly be, where the codec does not know */
export function encode<T>(codec: Codec<T>, value: T, expected?: number): Uint8Array {
  const to = new Writer(codec.size ?? expected);
  codec.write(to, value);
  return to.finish();
}

function uint(size: number): Codec<number> {
  const limit = 2 ** (8 * size);
  return {
    size,
    read: from => from.uint(size),
    write(to, value) {
      if (!Number.isInteger(value) || value < 0 || value >= limit) {
        throw new WireError('VALUE', `${value} is not an unsigned ${8 * size}-bit number`);
      }
      to.uint(value, size);
    },
  };
}

export const u8 = uint(1);
export const u16 = uint(2);
export const u32 = uint(4);

/** A 64-bit size, offset or count. A number, since no real one comes near 2^53; larger values are refused. */
export const u64: Codec<number> = {
  size: 8,
  read(from) {
    const value = from.uint(4) * 2 ** 32 + from.uint(4);
    if (Number.isSafeInteger(value)) return value;
    throw new WireError('VALUE', `${value} is past 2^53`);
  },
  write(to, value) {
    if (!Number.isSafeInteger(value)) {
      throw new WireError('VALUE', `${value} is not an unsigned number below 2^53`);
    }
    u32.write(to, Math.floor(value / 2 ** 32));
    u32.write(to, value % 2 ** 32);
  },
};

/** 64 bits as a bigint: a set of flags, or a number of any size. */
export const flags64: Codec<bigint> = {
  size: 8,
  read: from => (BigInt(from.uint(4)) << 32n) | BigInt(from.uint(4)),
  write(to, value) {
    u32.write(to, Number(value >> 32n));
    u32.write(to, Number(value & 0xffff_ffffn));
  },
};

/** One byte, 0 or 1 and nothing else. */
export const bool: Codec<boolean> = {
  size: 1,
  read: from => checked(u8, value => value <= 1).read(from) === 1,
  write: (to, value) => u8.write(to, Number(value)),
};

/** Exactly `length` bytes. */
export function bytes(length: number): Codec<Uint8Array> {
  return {
    size: length,
    read: from => from.take(length),
    write(to, value) {
      if (value.length !== length) {
        throw new WireError('VALUE', `${value.length} bytes where ${length} belong`);
      }
      to.put(value);
    },
  };
}

/** Bytes behind their own count. */
export function sized(count: Codec<number>): Codec<Uint8Array> {
  return {
    size: undefined,
    read: from => from.take(count.read(from)),
    write(to, value) {
      count.write(to, value.length);
      to.put(value);
    },
  };
}

/** The same bytes as `inner`, marked as a secret: `wipe` overwrites them. */
export function secretOf(inner: Codec<Uint8Array>): Codec<Uint8Array> {
  return { ...inner, wipe: value => void value.fill(0) };
}

/**
 * Overwrites every secret of a value, wherever the declaration marks one. Best effort: the runtime may
 * have copied them before.
 */
export function wipe<T>(codec: Codec<T>, value: T): void {
  codec.wipe?.(value);
}

const wipeEach = <T>({ wipe: one }: Codec<T>): Wipe<readonly T[]> | undefined =>
  one &&
  (values => {
    for (const value of values) one(value);
  });

/** Values of one kind behind their own count, of which there may be at most `max`. */
export function list<T>(count: Codec<number>, item: Codec<T>, max: number): Codec<T[]> {
  const length = checked(count, n => n <= max);
  return {
    size: undefined,
    read: from => Array.from({ length: length.read(from) }, () => item.read(from)),
    write(to, values) {
      length.write(to, values.length);
      for (const value of values) item.write(to, value);
    },
    wipe: wipeEach(item),
  };
}

/** Exactly `length` values of one kind. */
export function array<T>(length: number, item: Codec<T>): Codec<T[]> {
  return {
    size: item.size === undefined ? undefined : item.size * length,
    read: from => Array.from({ length }, () => item.read(from)),
    write(to, values) {
      if (values.length !== length) {
        throw new WireError('VALUE', `${values.length} values where ${length} belong`);
      }
      for (const value of values) item.write(to, value);
    },
    wipe: wipeEach(item),
  };
}

/** A codec that accepts only some values of `inner`, in both directions. */
export function checked<T>(inner: Codec<T>, holds: (value: T) => boolean): Codec<T> {
  const check = (value: T): T => {
    if (holds(value)) return value;
    throw new WireError('VALUE', `${String(value)} is not allowed here`);
  };
  return {
    size: inner.size,
    read: from => check(inner.read(from)),
    write: (to, value) => inner.write(to, check(value)),
    wipe: inner.wipe,
  };
}

/** Named codecs, in the order of their bytes. */
export type Fields = Readonly<Record<string, Codec<unknown>>>;
/** The value of a struct: one property a field. */
export type Struct<F extends Fields> = { -readonly [K in keyof F]: Of<F[K]> };

/** Fields one after another, in the order of the declaration. */
export function struct<const F extends Fields>(fields: F): Codec<Struct<F>> {
  const rows = Object.entries(fields);
  const each = (visit: (codec: Codec<unknown>, name: string) => void): void => {
    for (const [name, codec] of rows) {
      try {
        visit(codec, name);
      } catch (error) {
        throw error instanceof WireError ? error.within(name) : error;
      }
    }
  };
  const sizes = rows.map(([, codec]) => codec.size);
  const secrets = rows.filter(([, codec]) => codec.wipe !== undefined);
  return {
    size: sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, n) => sum + n!, 0),
    read(from) {
      const value: Record<string, unknown> = {};
      each((codec, name) => {
        value[name] = codec.read(from);
      });
      return value as Struct<F>;
    },
    write(to, value) {
      each((codec, name) => codec.write(to, value[name]));
    },
    wipe:
      secrets.length === 0
        ? undefined
        : value => {
            for (const [name, codec] of secrets) codec.wipe?.(value[name]);
          },
  };
}

/**
 * A struct behind a fixed 16-bit tag. The tag is checked and written, and no part of the value.
 * @param head reads the tag, and refuses another one
 */
export function tagged<const F extends Fields>(
  tag: number,
  fields: F,
  head: Codec<number> = checked(u16, value => value === tag),
): Codec<Struct<F>> {
  const body = struct(fields);
  return {
    size: body.size === undefined ? undefined : body.size + 2,
    read(from) {
      head.read(from);
      return body.read(from);
    },
    write(to, value) {
      head.write(to, tag);
      body.write(to, value);
    },
    wipe: body.wipe,
  };
}

type Placed = Readonly<Record<string, readonly [offset: number, codec: Codec<unknown>]>>;
export type Codecs<P extends Placed> = { [K in keyof P]: P[K][1] };

/**
 * A struct that repeats every offset, so that it reads like the table in the format's own text.
 * Gaps, overlaps and a wrong end are found when the module loads.
 */
export function layout<const P extends Placed>(
  start: number,
  end: number,
  table: P,
): Codec<Struct<Codecs<P>>> {
  let next = start;
  for (const [name, [offset, { size }]] of Object.entries(table)) {
    assert.equal(offset, next, `${name} is declared at ${offset} and lies at ${next}`);
    next += size ?? assert.fail(`${name} has no fixed size`);
  }
  assert.equal(next, end, `the table ends at ${next}, not at ${end}`);
  const rows = Object.entries(table).map(([name, [, codec]]) => [name, codec] as const);
  return struct(Object.fromEntries(rows) as Codecs<P>);
}
