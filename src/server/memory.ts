/**
 * Physical memory as the qtest protocol sees it: the TIS, behind it the RAM of the Physical Presence
 * Interface, and nothing else. Any other address reads as 0, as on QEMU.
 * @module
 */
import { splitAccess } from '../mmio/access.js';
import { TIS_BASE, TIS_SPACE, type Tis } from '../tis/index.js';

/** Plain RAM for firmware and guest to leave messages in; QEMU puts it there. */
const PPI_BASE = TIS_BASE + TIS_SPACE;
const PPI_BYTES = 0x400;

export class GuestMemory {
  readonly #tis: () => Tis | undefined;
  readonly #ppi = new Uint8Array(PPI_BYTES);

  /** @param tis the registers, or undefined while the machine is off: then they read 0 */
  constructor(tis: () => Tis | undefined) {
    this.#tis = tis;
  }

  /** Reads `length` bytes; registers by the largest aligned accesses, lowest address first. */
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const tis = this.#tis();
    const registers = overlap(address, length, TIS_BASE, TIS_SPACE);
    if (tis !== undefined) {
      splitAccess(registers.offset, registers.length, (at, size, done) => {
        setLittleEndian(bytes, registers.from + done, size, tis.read(at, size));
      });
    }
    const ppi = overlap(address, length, PPI_BASE, PPI_BYTES);
    bytes.set(this.#ppi.subarray(ppi.offset, ppi.offset + ppi.length), ppi.from);
    return bytes;
  }

  /** Writes bytes; registers by the largest aligned accesses, lowest address first. */
  write(address: bigint, bytes: Uint8Array): void {
    const tis = this.#tis();
    const registers = overlap(address, bytes.length, TIS_BASE, TIS_SPACE);
    if (tis !== undefined) {
      splitAccess(registers.offset, registers.length, (at, size, done) => {
        tis.write(at, size, littleEndian(bytes, registers.from + done, size));
      });
    }
    const ppi = overlap(address, bytes.length, PPI_BASE, PPI_BYTES);
    this.#ppi.set(bytes.subarray(ppi.from, ppi.from + ppi.length), ppi.offset);
  }
}

interface Overlap {
  /** Where it begins in the accessed bytes, and in the region. */
  readonly from: number;
  readonly offset: number;
  /** 0 where the two do not overlap. */
  readonly length: number;
}

/** The part of `length` bytes at `address` that lies in a region of `space` bytes at `base`. */
function overlap(address: bigint, length: number, base: number, space: number): Overlap {
  // Exact for every address near a region; a rounded one is far above all of them.
  const start = Number(address) - base;
  const [begin, end] = [Math.max(start, 0), Math.min(start + length, space)];
  if (begin >= end) return { from: 0, offset: 0, length: 0 };
  return { from: begin - start, offset: begin, length: end - begin };
}

function setLittleEndian(bytes: Uint8Array, from: number, size: number, value: number): void {
  for (let n = 0; n < size; n += 1) bytes[from + n] = (value >>> (8 * n)) & 0xff;
}

function littleEndian(bytes: Uint8Array, from: number, size: number): number {
  return bytes.subarray(from, from + size).reduceRight((value, byte) => value * 0x100 + byte, 0);
}
