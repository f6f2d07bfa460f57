/**
 * The 64-bit words of qcow2. Offsets reach 2^56 and sizes 2^64, past what a number counts exactly;
 * but table offsets are multiples of 512, which a number holds exactly up to 2^62, and anything
 * else that large lies past the end of every file and is refused for that.
 * @module
 */
import { type Codec, u32, WireError } from '../../wire/codec.js';
import { type HostOffset, hostOffset } from './units.js';

const WORD = 2 ** 32;

/** A 64-bit offset or size. Past 2^53 it is the nearest number, which every rule refuses. */
export const offset64: Codec<number> = {
  size: 8,
  read: from => from.uint(4) * WORD + from.uint(4),
  write(to, value) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new WireError('VALUE', `${value} is not an offset that can be written`);
    }
    u32.write(to, Math.floor(value / WORD));
    u32.write(to, value % WORD);
  },
};

/** An offset in the file. */
export const hostOffset64 = offset64 as Codec<HostOffset>;

/** A 64-bit entry of a table, in the two halves in which its flags and its offset lie. */
export interface Word {
  readonly high: number;
  readonly low: number;
}

/**
 * Bits 9 to 63 of an entry of the refcount table: the place of a refcount block. Past 2^62 it is
 * another place past 2^61, aligned alike; past 2^63, where no file has a place, one that is not
 * aligned to anything.
 */
export function blockOffset({ high, low }: Word): HostOffset {
  if (high >= 2 ** 31) return hostOffset(2 ** 52 + 1);
  return hostOffset(Math.min(high, 2 ** 30 - 1) * WORD + (low - (low % 512)));
}

export const isZero = (word: Word): boolean => word.high === 0 && word.low === 0;

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const readWord = (view: DataView, at: number): Word => ({
  high: view.getUint32(at),
  low: view.getUint32(at + 4),
});

export function writeWord(view: DataView, at: number, word: Word): void {
  view.setUint32(at, word.high);
  view.setUint32(at + 4, word.low);
}

/** `offset` as a word, with flags in the top bits of its high half. */
export const wordOf = (offset: HostOffset, flags = 0): Word => ({
  high: (Math.floor(offset / WORD) | flags) >>> 0,
  low: offset % WORD,
});
