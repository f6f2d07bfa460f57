/**
 * Bytes in and out: burst count, Expect, partial and surplus accesses. Values recorded from QEMU
 * 7.2.
 */
import test from 'ava';
import { hex } from '../../lab/files.js';
import { type Bench, bench, benchIn, EXCHANGE, REG } from './_device.js';

for (const [personality, family] of [
  ['1.2', 0],
  ['2.0', 0x0400_0000],
] as const) {
  test(`STS over a whole command, as recorded: TPM ${personality}`, t => {
    const { command, reply } = EXCHANGE[personality];
    const b = bench({ personality });
    b.tpm.reply = reply;
    const sts = (): string => (b.get(0, REG.STS) - family).toString(16).padStart(8, '0');
    b.put(0, REG.ACCESS, 0x02);
    t.is(b.get(0, REG.ACCESS), 0xa1);
    t.is(sts(), '00100000');
    b.put(0, REG.STS, 0x40);
    t.is(sts(), '00100040');
    const bytes = hex(command);
    for (const [i, byte] of bytes.entries()) {
      b.put(0, REG.DATA_FIFO, byte);
      const expect = i === bytes.length - 1 ? '80' : '88';
      t.is(sts(), `000${(0x1000 - i - 1).toString(16)}${expect}`);
    }
    b.put(0, REG.STS, 0x20);
    t.is(sts(), '00000a90');
    const found = [];
    for (let left = 10; left > 0; left -= 1) {
      t.is(sts(), `00000${left.toString(16)}90`);
      found.push(b.fetch(0, 1));
    }
    t.is(found.join(''), reply);
    t.is(sts(), '000ff680');
    t.is(b.fetch(0, 1), 'ff');
    b.put(0, REG.STS, 0x40);
    t.is(sts(), '00100040');
    b.put(0, REG.ACCESS, 0x20);
    t.is(b.get(0, REG.ACCESS), 0x81);
    t.is(b.get(0, REG.STS), 0xffff_ffff);
  });
}

test('a response can be read again, also after it was read whole', t => {
  const b = benchIn('completion');
  for (const length of [3, 10]) {
    t.is(b.fetch(0, length), EXCHANGE['1.2'].reply.slice(0, 2 * length));
    b.put(0, REG.STS, 0x02);
    t.is(b.get(0, REG.STS), 0x0000_0a90);
  }
});

// What the FIFO takes of an access, in order, by the register's offset and the size of the access.
// Bytes outside of it go elsewhere. The values written are 01, 02, 03, 04 from the low byte on.
// biome-ignore format: table
const TAKEN: [number, number, string][] = [
  [0x24, 1, '01'], [0x24, 2, '0102'], [0x24, 4, '01020304'],
  [0x25, 1, '01'], [0x25, 2, '0102'], [0x25, 4, '010203'],
  [0x26, 1, '01'], [0x26, 2, '0102'], [0x26, 4, '0102'],
  [0x27, 1, '01'], [0x27, 2, '01'],   [0x27, 4, '01'],
  [0x23, 2, '02'], [0x22, 4, '0304'],
  [0x80, 4, '01020304'], [0x81, 4, '01020304'], [0xbf, 1, '01'], [0xbe, 4, '0102'], [0x7e, 4, '0304'],
  [0xbc, 4, '01020304'], [0xc0, 4, ''], [0x20, 4, ''], [0x28, 4, ''],
];

for (const [offset, size, bytes] of TAKEN) {
  test(`a write of ${size} bytes at ${offset.toString(16)} gives the FIFO: ${bytes || 'nothing'}`, t => {
    const b = benchIn('ready');
    b.put(0, offset, 0x0403_0201, size);
    const { fifo } = b.tis.saveState().command;
    t.is(fifo, bytes);
  });

  test(`a read of ${size} bytes at ${offset.toString(16)} takes from the FIFO ${bytes.length / 2} bytes`, t => {
    const b = benchIn('ready');
    b.tpm.reply = '00c40000000b0000000005';
    b.send(0, EXCHANGE['1.2'].command);
    b.put(0, REG.STS, 0x20);
    // Where the FIFO's bytes stand in the access, the response appears; elsewhere there is nothing.
    const first = [0x23, 0x22, 0x7e].includes(offset) ? size - bytes.length / 2 : 0;
    const expected = Array.from({ length: size }, (_, i) => {
      const at = i - first;
      return at >= 0 && at < bytes.length / 2 ? [0x00, 0xc4, 0x00, 0x00][at]! : 0xff;
    });
    const value = b.get(0, offset, size);
    const found = expected.map((_, i) => Math.floor(value / 0x100 ** i) & 0xff);
    t.deepEqual(found, expected);
    t.is((b.get(0, REG.STS) >>> 8) & 0xffff, 11 - bytes.length / 2);
  });
}

test('8 bytes at DATA_FIFO: only the first four are the FIFO; at XDATA_FIFO all are', t => {
  const short = benchIn('ready');
  short.tis.write64(0x24, 0x0807_0605_0403_0201n);
  t.is(short.tis.saveState().command.fifo, '01020304');
  const long = benchIn('ready');
  long.tis.write64(0x80, 0x0800_0000_0403_0201n);
  long.tis.write(0x88, 4, 0x0c0b_0a09);
  t.is(long.tis.saveState().command.fifo, '0102030400000008090a0b0c');
});

test('a read past the end is filled with ones', t => {
  const b = benchIn('completion');
  b.fetch(0, 9);
  t.is(b.get(0, REG.DATA_FIFO, 4), 0xffff_ff00);
  t.is(b.get(0, REG.DATA_FIFO, 4), 0xffff_ffff);
});

test('bytes after the end of a command are dropped, even in the access that ends it', t => {
  const b = benchIn('ready');
  const bytes = hex(EXCHANGE['1.2'].command);
  for (const byte of bytes.subarray(0, 11)) b.put(0, REG.DATA_FIFO, byte);
  b.put(0, REG.DATA_FIFO, 0x0403_0201, 4);
  t.is(b.get(0, REG.STS), 0x000f_f480);
  b.put(0, REG.DATA_FIFO, 0x55);
  b.put(0, REG.STS, 0x20);
  t.is(b.tpm.commands[0]?.command, EXCHANGE['1.2'].command);
});

test('a size field below 7 ends the command with its sixth byte', t => {
  for (const size of [0, 6]) {
    const b = benchIn('ready');
    b.send(0, `00c1000000`);
    t.is(b.get(0, REG.STS, 1), 0x88);
    b.put(0, REG.DATA_FIFO, size);
    t.is(b.get(0, REG.STS, 1), 0x80);
    b.put(0, REG.DATA_FIFO, 0x77);
    b.put(0, REG.STS, 0x20);
    t.is(b.tpm.commands[0]?.command, `00c10000000${size}`);
  }
});

test('a command that claims more than the buffer holds is cut there', t => {
  const b = benchIn('ready', { bufferSize: 128 });
  t.is(b.get(0, REG.STS), 0x0000_8040);
  b.send(0, '00c1ffffffff');
  for (let i = 0; i < 500; i += 1) b.put(0, REG.XDATA_FIFO, 0, 4);
  t.is(b.get(0, REG.STS), 0x0000_0080);
  b.put(0, REG.STS, 0x20);
  t.is(b.tpm.commands[0]?.command.length, 2 * 128);
});

/** A response of `length` bytes is there to be read. */
function withResponse(length: number): Bench {
  const b = benchIn('ready');
  b.tpm.reply = `00c4${length.toString(16).padStart(8, '0')}${'00'.repeat(length - 6)}`;
  b.send(0, EXCHANGE['1.2'].command);
  b.put(0, REG.STS, 0x20);
  return b;
}

test('burstCount read byte by byte says 255 at most, and never 0 where it is 256', t => {
  const b = benchIn('ready');
  t.is(b.get(0, REG.STS + 1, 1), 0xff);
  t.is(b.get(0, REG.STS + 2, 1), 0x00);
  t.is(b.get(0, REG.STS, 2), 0x0040, 'wider reads see the low half of 0x1000');
  const response = withResponse(0x100);
  t.is(response.get(0, REG.STS), 0x0001_0090);
  t.is(response.get(0, REG.STS + 1, 1), 0xff);
  t.is(response.get(0, REG.STS + 2, 1), 0x00);
});

test('a response as long as the buffer passes, one byte more is TPM_FAIL', t => {
  t.is(withResponse(4096).get(0, REG.STS), 0x0010_0090);
  const b = withResponse(4097);
  t.is(b.fetch(0, 10), '00c40000000a00000009');
  t.is(b.get(0, REG.STS, 1), 0x80);
});
