/**
 * koffi, the foreign function interface through which the system's own calls are made, and the C
 * structures that are passed to them. koffi is loaded with the first call and never at import: the
 * package must import where koffi has no build.
 * @module
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { NativeError } from './error.js';

export type Koffi = typeof import('koffi');

/** @throws NativeError where koffi cannot be loaded */
export function loadKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new NativeError(`cannot load koffi: ${why}; install it for this platform`, { cause });
  }
}

/** A C structure as its header declares it. */
export interface StructLayout {
  readonly name: string;
  /** Each member with koffi's name of its C type and its offset in bytes. */
  readonly fields: readonly (readonly [name: string, type: string, offset: number])[];
  readonly bytes: number;
}

/** koffi's type of a declared structure. */
export const structOf = ({ fields }: StructLayout): ReturnType<Koffi['struct']> =>
  loadKoffi().struct(Object.fromEntries(fields.map(([field, type]) => [field, type])));

/**
 * Compares a declared layout with the one that the C compiler's rules give on this machine.
 * @throws AssertionError where they differ
 */
export function assertLayout(layout: StructLayout): void {
  const { name, fields, bytes } = layout;
  const koffi = loadKoffi();
  const shape = structOf(layout);
  assert.equal(koffi.sizeof(shape), bytes, `${name} has another size here`);
  for (const [field, , offset] of fields) {
    assert.equal(koffi.offsetof(shape, field), offset, `${field} has another offset in ${name}`);
  }
}
