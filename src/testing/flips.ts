/**
 * Single faults in bytes at rest.
 * @module
 */

/** One flipped bit. */
export interface Flip {
  readonly offset: number;
  readonly bit: number;
  /** All bytes, with this one bit flipped. Valid until the next flip is yielded. */
  readonly bytes: Uint8Array;
}

/** Flips every `stride`-th bit of `length` bytes at `offset`, one at a time. */
export function* everyFlip(
  bytes: Uint8Array,
  options: { offset?: number; length?: number; stride?: number } = {},
): Generator<Flip, void, void> {
  const { offset = 0, length = bytes.length - offset, stride = 1 } = options;
  // A copy also of a Buffer, whose slice() shares memory.
  const flipped = Uint8Array.from(bytes);
  for (let at = 0; at < length * 8; at += stride) {
    const byte = offset + Math.floor(at / 8);
    const bit = at % 8;
    flipped[byte]! ^= 1 << bit;
    yield { offset: byte, bit, bytes: flipped };
    flipped[byte] = bytes[byte]!;
  }
}
