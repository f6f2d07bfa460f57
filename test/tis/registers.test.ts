/**
 * The register map: reset values, partial accesses, what may be written. As recorded from QEMU 7.2.
 */
import test from 'ava';
import { bit, reg, registerMap } from '../../src/mmio/regmap.js';
import { TIS } from '../../src/tis/registers.js';
import { bench, REG } from './_device.js';

/** Every aligned 4 bytes that do not read as ones in a locality that has not the TPM. */
// biome-ignore format: table
const RECORDED: Record<'1.2' | '2.0', Record<number, number>> = {
  '1.2': { 0: 0x81, 8: 0x08, 12: 0x05, 16: 0x00, 20: 0x2000_0697, 3840: 0x0001_1014, 3844: 0x01 },
  '2.0': { 0: 0x81, 8: 0x08, 12: 0x05, 16: 0x00, 20: 0x3000_0697, 3840: 0x0001_1014, 3844: 0x01,
           48: 0x0000_2100 },
};

for (const personality of ['1.2', '2.0'] as const) {
  test(`after reset every byte of the window reads as recorded: TPM ${personality}`, t => {
    const { tis } = bench({ personality });
    const byteAt = (offset: number): number => {
      const word = RECORDED[personality][offset & 0xffc] ?? 0xffff_ffff;
      return Math.floor(word / 0x100 ** (offset & 3)) & 0xff;
    };
    const differing: string[] = [];
    for (const size of [1, 2, 4]) {
      for (let offset = 0; offset + size <= 0x5000; offset += 1) {
        let expected = 0;
        for (let i = 0; i < size; i += 1) expected += byteAt(offset + i) * 0x100 ** i;
        const found = tis.read(offset, size);
        if (found !== expected) differing.push(`${size} bytes at ${offset.toString(16)}: ${found}`);
      }
    }
    t.deepEqual(differing, []);
  });

  test(`writes to what cannot be written change nothing: TPM ${personality}`, t => {
    const { tis } = bench({ personality });
    const image = (): number[] => Array.from({ length: 0x5000 / 4 }, (_, i) => tis.read(4 * i, 4));
    const before = image();
    for (let offset = 0; offset < 0x5000; offset += 4) {
      // What acts without the locality's having the TPM: ACCESS, INTERFACE_ID, the HASH registers.
      const register = offset & 0xfff;
      if ([REG.ACCESS, REG.INTERFACE_ID, REG.HASH_START].includes(register as 0)) continue;
      tis.write(offset, 4, 0xffff_ffff);
      tis.write(offset, 4, 0);
    }
    t.deepEqual(image(), before);
  });
}

test('the recorded partial reads: INTF_CAPABILITY, DID_VID, RID', t => {
  const two = bench({ personality: '2.0' });
  const rows: [number, number, number][] = [
    [0x14, 1, 0x97],
    [0x14, 2, 0x0697],
    [0x15, 1, 0x06],
    [0x16, 2, 0x3000],
    [0x17, 1, 0x30],
    [0xf00, 1, 0x14],
    [0xf01, 1, 0x10],
    [0xf02, 2, 0x0001],
    [0xf01, 4, 0x0100_0110],
  ];
  for (const [offset, size, expected] of rows) t.is(two.get(0, offset, size), expected);
  t.is(two.tis.read64(0xf00), 0x0000_0001_0001_1014n);
});

test('the established flag shows inverted in bit 0 of ACCESS, in every locality', t => {
  const b = bench();
  b.tpm.flag = true;
  t.is(b.access(), '80 80 80 80 80');
});

test('INT_VECTOR says how the line is wired', t => {
  t.is(bench({ irqVector: 11 }).get(3, REG.INT_VECTOR), 11);
});

test('INTERFACE_ID: only the lock can be set, in all localities at once, until reset; not on 1.2', t => {
  const two = bench({ personality: '2.0' });
  two.put(3, REG.INTERFACE_ID, 0xfff7_ffff, 4);
  t.is(two.get(0, REG.INTERFACE_ID), 0x0000_2100);
  two.put(3, REG.INTERFACE_ID, 0x0008_0000, 4);
  for (const locality of [0, 1, 2, 3, 4]) {
    t.is(two.get(locality, REG.INTERFACE_ID), 0x0008_2100);
  }
  two.put(1, REG.INTERFACE_ID, 0, 4);
  t.is(two.get(0, REG.INTERFACE_ID), 0x0008_2100);
  two.tis.reset();
  t.is(two.get(0, REG.INTERFACE_ID), 0x0000_2100);
  const one = bench();
  one.put(0, REG.INTERFACE_ID, 0x0008_0000, 4);
  t.is(one.get(0, REG.INTERFACE_ID), 0xffff_ffff);
});

test('the lock can be set through its byte alone', t => {
  const two = bench({ personality: '2.0' });
  two.put(0, REG.INTERFACE_ID + 2, 0x08);
  t.is(two.get(0, REG.INTERFACE_ID), 0x0008_2100);
});

test('accesses outside of the window, or of another size, find nothing and do nothing', t => {
  const { tis } = bench();
  // biome-ignore format: table
  const nonsense: [number, number][] = [
    [-1, 1], [0x5000, 1], [0x4fff, 2], [0x4ffe, 4], [2 ** 32, 4], [2 ** 53, 4], [0.5, 1], [Number.NaN, 1],
    [Number.POSITIVE_INFINITY, 4], [0, 0], [0, 3], [0, 8], [0, -1], [0, Number.NaN],
  ];
  for (const [offset, size] of nonsense) {
    tis.write(offset, size, 0x02);
    t.true([0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0].includes(tis.read(offset, size)));
  }
  t.is(tis.read(0, 1), 0x81);
});

test('values that are no numbers of that size are cut to it', t => {
  const { tis } = bench();
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -0.5, 2 ** 32]) tis.write(0, 1, value);
  t.is(tis.read(0, 1), 0x81);
  tis.write(0, 1, 2 ** 40 + 0x102);
  t.is(tis.read(0, 1), 0xa1);
});

test('a trace tells every access, and no byte of the FIFO', t => {
  const events: unknown[] = [];
  const { tis } = bench({ trace: event => events.push(event) });
  tis.write(0, 1, 2);
  tis.write(0x24, 1, 0x5a);
  tis.read(0x80, 4);
  tis.read(0x1, 1);
  t.deepEqual(events, [
    { event: 'register', access: 'write', address: 0xfed4_0000, size: 1, value: 2 },
    { event: 'locality', active: 0 },
    { event: 'register', access: 'write', address: 0xfed4_0024, size: 1, value: undefined },
    { event: 'register', access: 'read', address: 0xfed4_0080, size: 4, value: undefined },
    { event: 'register', access: 'read', address: 0xfed4_0001, size: 1, value: 0 },
  ]);
});

test('masks and reset values follow from the table, bit 31 included', t => {
  t.is(TIS.INT_ENABLE.writable, 0x8000_009f);
  t.is(TIS.INT_STATUS.clearable, 0x87);
  t.is(TIS.STS.mask.burstCount, 0x00ff_ff00);
  t.is(TIS.STS.mask.tpmFamily, 0x0c00_0000);
  t.is(TIS.XDATA_FIFO.span, 0x40);
});

test('a table with an overlap does not load', t => {
  const place = (offset: number) =>
    ({ offset, bytes: 4, reads: 'any', writes: 'any', about: '' }) as const;
  const twice = { a: bit(1, 'ro', ''), b: bit(1, 'rw', '') };
  t.throws(() => reg(place(0), twice), { message: /^b: bits 1:1 overlap/ });
  t.throws(() => reg(place(0), { a: bit(32, 'ro', '') }), { message: /stick out/ });
  t.throws(() => reg(place(0), { a: bit(0, 'ro', '', 2) }), { message: /does not fit/ });
  const overlap = { a: reg({ ...place(0), span: 8 }, {}), b: reg(place(4), {}) };
  t.throws(() => registerMap(0x1000, overlap), { message: /^b: overlaps/ });
  t.throws(() => registerMap(8, { a: reg(place(2), {}) }), { message: /^a: overlaps/ });
  t.throws(() => registerMap(8, { a: reg(place(8), {}) }), { message: /past the space/ });
});
