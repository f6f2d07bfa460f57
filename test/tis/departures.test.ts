/**
 * The departures from QEMU that a script of accesses can show: what our device reads, and, where QEMU is
 * installed, that it does read what the table says. A departure that no longer exists fails here.
 */
import test from 'ava';
import { Qemu, QTEST_PEERS } from '../../lab/peers/qtest.js';
import { DEPARTURES, type Shown, send } from '../../lab/tis/departures.js';
import { peerTest } from '../_peers.js';
import { bench } from './_device.js';

const BASE = 0xfed4_0000;
const LONG_REPLY = `8001000001cb${'00'.repeat(0x1cb - 6)}`;

interface World {
  read(address: number, size: number): Promise<number>;
  write(address: number, size: number, value: number): Promise<void>;
  level(): Promise<boolean>;
}

async function play(world: World, { script, read }: Shown): Promise<number> {
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

for (const { name, shown } of DEPARTURES) {
  if (shown === undefined) continue;
  const { personality = '1.2' } = shown;

  test(`${name}: our device`, async t => {
    const { tis, tpm, line } = bench({ personality });
    if (personality === '2.0') tpm.reply = LONG_REPLY;
    const found = await play(
      {
        read: async (address, size) => tis.read(address - BASE, size),
        write: async (address, size, value) => tis.write(address - BASE, size, value),
        level: async () => line.at(-1) ?? false,
      },
      shown,
    );
    t.is(found, shown.here);
  });

  peerTest(`${name}: QEMU`, QTEST_PEERS, async t => {
    const qemu = await Qemu.start(personality);
    t.teardown(() => qemu.close());
    if (personality === '2.0') {
      const bytes = send('80 01 00 00 00 0c 00 00 01 44 00 00');
      const script = `0.00=02 0.18=40 ${bytes} go 0.18=40 0.00=20`;
      await play(qemu, { script, read: '0.18:1', here: 0, qemu: 0 });
    }
    t.is(await play(qemu, shown), shown.qemu);
  });
}
