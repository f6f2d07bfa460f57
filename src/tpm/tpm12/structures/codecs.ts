/**
 * Codecs that TPM 1.2's structures are made of. Where a structure does not parse, the fault is the
 * one that libtpms gives: a wrong tag is TPM_INVALID_STRUCTURE, and so on; missing bytes are left
 * to the caller, as a WireError.
 * @module
 */
import {
  bool,
  type Codec,
  encode,
  type Fields,
  Reader,
  type Struct,
  sized,
  struct,
  tagged,
  u16,
  u32,
} from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { demand, type TpmResultName } from '../results.js';

/** A codec that takes only some of the values of `inner`, and refuses others with a result code. */
export function restricted<T>(
  inner: Codec<T>,
  holds: (value: T) => boolean,
  otherwise: TpmResultName,
): Codec<T> {
  return {
    size: inner.size,
    read(from) {
      const value = inner.read(from);
      demand(holds(value), otherwise);
      return value;
    },
    write: (to, value) => inner.write(to, value),
    wipe: inner.wipe,
  };
}

/** A structure behind its tag of §3.1. */
export const structure = <const F extends Fields>(tag: number, fields: F): Codec<Struct<F>> =>
  tagged(
    tag,
    fields,
    restricted(u16, value => value === tag, 'INVALID_STRUCTURE'),
  );

const buffer = sized(u32);

/**
 * Bytes behind their count, as all of TPM 1.2 has them. libtpms refuses a count that it would not
 * allocate before it looks whether the bytes are there, and so does this.
 */
export const sizedBuffer: Codec<Uint8Array> = {
  size: undefined,
  read(from) {
    const count = u32.read(from);
    demand(count <= LIMITS.allocationBytes, 'SIZE');
    return from.take(count);
  },
  write: (to, value) => buffer.write(to, value),
};

const wipeHeld = <T>({ wipe }: Codec<T>): Codec<T | undefined>['wipe'] =>
  wipe &&
  (value => {
    if (value !== undefined) wipe(value);
  });

/**
 * A structure within a counted buffer, or nothing where the buffer is empty. Bytes of the buffer
 * past the structure are dropped, as libtpms drops them.
 */
export function embedded<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    size: undefined,
    read(from) {
      const held = sizedBuffer.read(from);
      return held.length === 0 ? undefined : inner.read(new Reader(held));
    },
    write: (to, value) =>
      sizedBuffer.write(to, value === undefined ? new Uint8Array() : encode(inner, value)),
    wipe: wipeHeld(inner),
  };
}

/**
 * A structure behind its count, or nothing where that is 0: libtpms writes how long the structure
 * is, and asks for no more than that when it reads.
 */
export function behindSize<T>(inner: Codec<T>): Codec<T | undefined> {
  return {
    size: undefined,
    read: from => (u32.read(from) === 0 ? undefined : inner.read(from)),
    write: embedded(inner).write,
    wipe: wipeHeld(inner),
  };
}

/** A structure within a counted buffer that must be there; bytes past it are dropped. */
export function parsedBuffer<T>(inner: Codec<T>): Codec<T> {
  return {
    size: undefined,
    read: from => inner.read(new Reader(sizedBuffer.read(from))),
    write: (to, value) => sizedBuffer.write(to, encode(inner, value)),
  };
}

/** Flags that lie in a 32-bit map, the first name in the lowest bit. */
export function bitmap<const N extends string>(names: readonly N[]): Codec<Record<N, boolean>> {
  return {
    size: 4,
    read(from) {
      let rest = u32.read(from);
      // Every name gets its value in the loop.
      const flags = {} as Record<N, boolean>;
      for (const name of names) {
        flags[name] = rest % 2 === 1;
        rest = Math.floor(rest / 2);
      }
      return flags;
    },
    write: (to, flags) =>
      u32.write(
        to,
        names.reduce((map, name, bit) => map + (flags[name] ? 2 ** bit : 0), 0),
      ),
  };
}

/** Flags that lie one a byte. */
export const flagBytes = <const N extends string>(names: readonly N[]): Codec<Record<N, boolean>> =>
  struct(Object.fromEntries(names.map(name => [name, bool])) as Record<N, Codec<boolean>>);

/** Whatever is left. */
export const restOf: Codec<Uint8Array> = {
  size: undefined,
  read: from => from.take(from.left),
  write: (to, value) => to.put(value),
};

/** Nothing at all. */
export const nothing = struct({});
