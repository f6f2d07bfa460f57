/**
 * The frame of every command and response of a TPM, 1.2 and 2.0 alike: a tag, the size of the
 * whole, and an ordinal or a result code.
 * @module
 */
import { concat, encode, struct, u16, u32 } from '../../wire/codec.js';

export const frameHeader = struct({ tag: u16, size: u32, code: u32 });
export const HEADER_BYTES = 10;

/** A frame whose body is `parts`, one after another. */
export function frame(tag: number, code: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, HEADER_BYTES);
  return concat(encode(frameHeader, { tag, size, code }), ...parts);
}
