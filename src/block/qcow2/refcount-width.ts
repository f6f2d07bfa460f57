/**
 * Refcounts of 1 to 64 bits in the bytes of a refcount block: QEMU docs/interop/qcow2, "Host cluster
 * management". Widths below a byte fill it from its least significant bits.
 * @module
 */
export interface Width {
  get(view: DataView, index: number): number;
  set(view: DataView, index: number, value: number): void;
}

function partOfByte(bits: number): Width {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const shift = (index: number): number => (index % perByte) * bits;
  const byteOf = (index: number): number => Math.floor(index / perByte);
  return {
    get: (view, index) => (view.getUint8(byteOf(index)) >> shift(index)) & mask,
    set(view, index, value) {
      const rest = view.getUint8(byteOf(index)) & ~(mask << shift(index));
      view.setUint8(byteOf(index), rest | (value << shift(index)));
    },
  };
}

/** By refcount_order. A 64-bit count past 2^53 is read as the nearest number. */
// biome-ignore format: table
const WIDTHS: readonly Width[] = [
  partOfByte(1),
  partOfByte(2),
  partOfByte(4),
  { get: (v, i) => v.getUint8(i),                set: (v, i, n) => v.setUint8(i, n) },
  { get: (v, i) => v.getUint16(i * 2),           set: (v, i, n) => v.setUint16(i * 2, n) },
  { get: (v, i) => v.getUint32(i * 4),           set: (v, i, n) => v.setUint32(i * 4, n) },
  { get: (v, i) => Number(v.getBigUint64(i * 8)), set: (v, i, n) => v.setBigUint64(i * 8, BigInt(n)) },
];

export const widthOf = (refcountOrder: number): Width => WIDTHS[refcountOrder]!;
