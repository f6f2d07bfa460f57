/**
 * The departures of docs/tis.md that a script of accesses can show: what our device reads, and,
 * where it is installed, that QEMU does read what the page says. A departure that is none any more
 * fails here.
 */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGE } from '../../lab/pages/tis.js';
import { Qemu, QTEST_PEERS } from '../../lab/peers/qtest.js';
import { peerTest } from '../_peers.js';
import { bench } from './_device.js';

const BASE = 0xfed4_0000;
const STARTUP = '00 c1 00 00 00 0c 00 00 00 99 00 01';
const CAPABILITIES = '80 01 00 00 00 16 00 00 01 7a 00 00 00 02 00 00 01 10 00 00 00 ff';
const LONG_REPLY = `8001000001cb${'00'.repeat(0x1cb - 6)}`;

/** Bytes to DATA_FIFO of locality 0, in the notation of the rows below. */
const send = (bytes: string): string =>
  bytes
    .split(' ')
    .map(byte => `0.24=${byte}`)
    .join(' ');

interface Row {
  readonly name: string;
  readonly personality?: '2.0';
  /** locality.register=value in hex, one byte each unless `:size`; `go` is tpmGo in locality 0. */
  readonly script: string;
  /** What is read then: locality.register:size, or the level of the line. */
  readonly read: string;
  readonly ours: number;
  readonly qemu: number;
}

// biome-ignore format: table
const ROWS: Row[] = [
  { name: 'locality change', read: '1.18:4', ours: 0x0010_0040, qemu: 0x000f_fb40,
    script: `0.00=02 0.18=40 ${send('00 c1 00 00 00')} 0.00=20 1.00=02 1.18=40` },
  { name: 'locality 4', read: '4.00:1', ours: 0xa1, qemu: 0x81,
    script: '4.00=02' },
  { name: 'surplus bytes', read: '0.18:4', ours: 0x000f_f480, qemu: 0x000f_f180,
    script: `0.00=02 0.18=40 ${send(STARTUP.slice(0, -3))} 0.24:4=aabbcc01` },
  { name: 'size field', read: '0.18:1', ours: 0x88, qemu: 0x80,
    script: `0.00=02 0.18=40 ${send('00 c1 00 01 00 0a 00 00 00 00')}` },
  { name: 'burst count by bytes', personality: '2.0', read: '0.19:1', ours: 0xff, qemu: 0x00,
    script: `0.00=02 0.18=40 ${send(CAPABILITIES)} go read-to-100` },
  { name: 'two at once', read: '0.00:1', ours: 0x81, qemu: 0x83,
    script: '0.00=02 1.00=02 0.00=22' },
  { name: 'events not enabled', read: '0.10:4', ours: 0x01, qemu: 0x03,
    script: `0.00=02 0.08:4=80000001 0.18=40 ${send(STARTUP)} go` },
  { name: 'interrupt line', read: 'line', ours: 0, qemu: 1,
    script: '0.00=02 0.08:4=80000080 0.18=40 0.00=20' },
];

interface World {
  read(address: number, size: number): Promise<number>;
  write(address: number, size: number, value: number): Promise<void>;
  level(): Promise<boolean>;
}

async function play(world: World, { script, read }: Row): Promise<number> {
  const sts = (): Promise<number> => world.read(BASE + 0x18, 4);
  for (const token of script.split(' ')) {
    if (token === 'go') {
      await world.write(BASE + 0x18, 1, 0x20);
      while (((await sts()) & 0x10) === 0);
    } else if (token === 'read-to-100') {
      while ((((await sts()) >>> 8) & 0xffff) > 0x100) await world.read(BASE + 0x24, 1);
    } else {
      const [, locality, register, size, value] = /^(.)\.(..):?(.)?=(.+)$/.exec(token)!;
      const address = BASE + Number(locality) * 0x1000 + Number.parseInt(register!, 16);
      await world.write(address, Number(size ?? 1), Number.parseInt(value!, 16));
    }
  }
  if (read === 'line') return Number(await world.level());
  const [, locality, register, size] = /^(.)\.(..):(.)$/.exec(read)!;
  return world.read(
    BASE + Number(locality) * 0x1000 + Number.parseInt(register!, 16),
    Number(size),
  );
}

for (const row of ROWS) {
  test(`${row.name}: our device`, async t => {
    const { tis, tpm, line } = bench({ personality: row.personality ?? '1.2' });
    if (row.personality === '2.0') tpm.reply = LONG_REPLY;
    const found = await play(
      {
        read: async (address, size) => tis.read(address - BASE, size),
        write: async (address, size, value) => tis.write(address - BASE, size, value),
        level: async () => line.at(-1) ?? false,
      },
      row,
    );
    t.is(found, row.ours);
  });

  peerTest(`${row.name}: QEMU`, QTEST_PEERS, async t => {
    const qemu = await Qemu.start(row.personality ?? '1.2');
    t.teardown(() => qemu.close());
    if (row.personality === '2.0') {
      const startup = { name: '', read: '0.18:1', ours: 0, qemu: 0 };
      const bytes = send('80 01 00 00 00 0c 00 00 01 44 00 00');
      await play(qemu, { ...startup, script: `0.00=02 0.18=40 ${bytes} go 0.18=40 0.00=20` });
    }
    t.is(await play(qemu, row), row.qemu);
  });

  test(`${row.name}: is in docs/tis.md`, t => {
    t.true(readFileSync(PAGE, 'utf8').includes(`| ${row.name} |`));
  });
}
