/**
 * Physical memory as the qtest protocol sees it: the TIS, behind it the RAM of the Physical Presence
 * Interface, and nothing else. What is not there reads as 0, as on QEMU.
 * @module
 */
import { TIS_BASE, TIS_SPACE, type Tis } from '../tis/index.js';

const TIS_END = TIS_BASE + TIS_SPACE;
/** Plain RAM for firmware and guest to leave messages in; QEMU puts it there. */
const PPI_BYTES = 0x400;

export class GuestMemory {
  readonly #tis: () => Tis | undefined;
  readonly #ppi = new Uint8Array(PPI_BYTES);

  /** @param tis the registers, or undefined while the machine is off: then they read 0 */
  constructor(tis: () => Tis | undefined) {
    this.#tis = tis;
  }

  /** Reads `length` bytes; registers by the largest aligned parts, as a bus does it. */
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#walk(address, length, {
      ppi: (at, i) => {
        bytes[i] = this.#ppi[at]!;
      },
      registers: (tis, offset, i, size) => {
        const value = tis.read(offset, size);
        for (let n = 0; n < size; n += 1) bytes[i + n] = (value >>> (8 * n)) & 0xff;
      },
    });
    return bytes;
  }

  /** Writes bytes; registers by the largest aligned parts, as a bus does it. */
  write(address: bigint, bytes: Uint8Array): void {
    this.#walk(address, bytes.length, {
      ppi: (at, i) => {
        this.#ppi[at] = bytes[i]!;
      },
      registers: (tis, offset, i, size) => {
        let value = 0;
        for (let n = size - 1; n >= 0; n -= 1) value = value * 0x100 + bytes[i + n]!;
        tis.write(offset, size, value);
      },
    });
  }

  /** Visits what is there of `length` bytes, the lowest address first. */
  #walk(address: bigint, length: number, visit: Visitor): void {
    // The end of the address space is far from anything that is there.
    if (address > BigInt(TIS_END + PPI_BYTES)) return;
    const start = Number(address);
    for (let i = Math.max(0, TIS_BASE - start); i < length; ) {
      const at = start + i;
      if (at >= TIS_END + PPI_BYTES) return;
      if (at >= TIS_END) {
        visit.ppi(at - TIS_END, i);
        i += 1;
        continue;
      }
      const size = stride(at, length - i);
      const tis = this.#tis();
      if (tis !== undefined) visit.registers(tis, at - TIS_BASE, i, size);
      i += size;
    }
  }
}

interface Visitor {
  ppi(at: number, index: number): void;
  registers(tis: Tis, offset: number, index: number, size: number): void;
}

function stride(at: number, left: number): number {
  if (left >= 4 && at % 4 === 0) return 4;
  return left >= 2 && at % 2 === 0 ? 2 : 1;
}
