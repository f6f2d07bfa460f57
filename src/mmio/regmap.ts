/**
 * A register map: one table says where each register lies, which localities reach it, what its bits
 * mean and what a guest's write does to them. Masks, reset values, write rules and the page in the
 * documentation all follow from the table, and the table is checked when the module loads.
 * @module
 */
import { assert } from '../assert.js';

/**
 * What a guest write does to a field. A `strobe` holds nothing: writing 1 requests an action, and what
 * the bit reads is up to the device. `w1s` stays set until reset.
 */
export type Access = 'ro' | 'rw' | 'w1c' | 'w1s' | 'strobe';

export interface Field {
  readonly hi: number;
  readonly lo: number;
  readonly access: Access;
  /** The value after reset, in the field's own place counted from bit 0. */
  readonly reset: number;
  readonly about: string;
}
type Fields = Readonly<Record<string, Field>>;

export const bit = (at: number, access: Access, about: string, reset = 0): Field =>
  bits(at, at, access, about, reset);

/** Bits `hi:lo`, both included, the way the specification writes them. */
export const bits = (hi: number, lo: number, access: Access, about: string, reset = 0): Field => ({
  hi,
  lo,
  access,
  reset,
  about,
});

/** From which localities a register answers: from each, from the one in use, from 4, from none. */
export type Reach = 'any' | 'active' | 'locality 4' | 'none';

export interface Placing {
  readonly offset: number;
  /** The width of the register. */
  readonly bytes: 1 | 4;
  /** How far it repeats itself in the address space, in bytes. Default: 4. */
  readonly span?: number;
  readonly reads: Reach;
  readonly writes: Reach;
  readonly about: string;
}

export interface Register<F extends Fields = Fields> extends Required<Placing> {
  readonly fields: F;
  /** The value after reset. */
  readonly reset: number;
  /** The bits of each field, in place. */
  readonly mask: { readonly [K in keyof F]: number };
  /** One in the lowest bit of each field: a field's value times this lies in its place. */
  readonly unit: { readonly [K in keyof F]: number };
  /** The bits that a guest write sets, and those that a guest write of 1 clears. */
  readonly writable: number;
  readonly clearable: number;
}

export function reg<const F extends Fields>(placing: Placing, fields: F): Register<F> {
  const rows = Object.entries(fields);
  let next = 0;
  for (const [name, { hi, lo, reset }] of rows) {
    const sound = next <= lo && lo <= hi && hi < placing.bytes * 8;
    assert(sound, `${name}: bits ${hi}:${lo} overlap or stick out`);
    assert(reset < 2 ** (hi - lo + 1), `${name}: ${reset} does not fit into bits ${hi}:${lo}`);
    next = hi + 1;
  }
  // Multiplied, not shifted: a shift that reaches bit 31 turns negative.
  const maskOf = ({ hi, lo }: Field): number => (2 ** (hi - lo + 1) - 1) * 2 ** lo;
  const each = (value: (field: Field) => number): { readonly [K in keyof F]: number } =>
    Object.fromEntries(rows.map(([name, field]) => [name, value(field)])) as {
      [K in keyof F]: number;
    };
  const masked = (access: Access): number =>
    rows.reduce((all, [, field]) => (field.access === access ? all + maskOf(field) : all), 0);
  return {
    span: 4,
    ...placing,
    fields,
    reset: rows.reduce((raw, [, field]) => raw + field.reset * 2 ** field.lo, 0),
    mask: each(maskOf),
    unit: each(field => 2 ** field.lo),
    writable: masked('rw'),
    clearable: masked('w1c'),
  };
}

/** Returns `map` as given. @throws Error if two registers overlap, or one is not aligned */
export function registerMap<const M extends Readonly<Record<string, Register>>>(
  space: number,
  map: M,
): M {
  let next = 0;
  for (const [name, { offset, bytes, span }] of Object.entries(map)) {
    const sound = next <= offset && offset % 4 === 0 && span % 4 === 0 && bytes <= span;
    assert(sound, `${name}: overlaps, or is not aligned`);
    next = offset + span;
  }
  assert(next <= space, `the last register ends at ${next}, past the space of ${space} bytes`);
  return Object.freeze(map);
}

/** For every aligned 4 bytes of the space, the name of the register that lies there. */
export function slots<M extends Readonly<Record<string, Register>>>(
  space: number,
  map: M,
): readonly (keyof M | undefined)[] {
  const names = new Array<keyof M | undefined>(space / 4).fill(undefined);
  for (const [name, { offset, span }] of Object.entries(map)) {
    names.fill(name, offset / 4, (offset + span) / 4);
  }
  return names;
}
