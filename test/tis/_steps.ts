/**
 * The steps of QEMU's own tpm-tis-test (check_localities, check_access_reg, check_access_reg_seize,
 * check_access_reg_release, check_transmit), and the trace of ACCESS recorded from QEMU 7.2, on
 * whatever has the registers.
 */
import type { ExecutionContext } from 'ava';
import { hex, toHex } from '../../lab/files.js';
import { EXCHANGE } from './_device.js';

export interface World {
  read(address: number, size: number): Promise<number>;
  write(address: number, size: number, value: number): Promise<void>;
}

const BASE = 0xfed4_0000;
const ACCESS = 0x00;
const STS = 0x18;
const FIFO = 0x24;
const REQUEST = 0x02;
const SEIZE = 0x08;
const SEIZED = 0x10;
const GIVE_UP = 0x20;
const PENDING = 0x04;
const OTHERS = [0, 1, 2, 3];

/** What the personalities differ in: INTF_CAPABILITY, INTERFACE_ID, STS.tpmFamily. */
const PROPER = {
  '1.2': { capability: 0x2000_0697, interfaceId: 0xffff_ffff, family: 0 },
  '2.0': { capability: 0x3000_0697, interfaceId: 0x0000_2100, family: 1 },
} as const;

class Steps {
  readonly #t: ExecutionContext;
  readonly #world: World;
  readonly #personality: '1.2' | '2.0';

  constructor(t: ExecutionContext, world: World, personality: '1.2' | '2.0') {
    this.#t = t;
    this.#world = world;
    this.#personality = personality;
  }

  get = (locality: number, register: number, size = 1): Promise<number> =>
    this.#world.read(BASE + locality * 0x1000 + register, size);
  put = (locality: number, register: number, value: number, size = 1): Promise<void> =>
    this.#world.write(BASE + locality * 0x1000 + register, size, value);

  async access(locality: number, expected: number, why: string): Promise<void> {
    this.#t.is(await this.get(locality, ACCESS), expected, `ACCESS of ${locality}: ${why}`);
  }

  async localities(): Promise<void> {
    const { capability, interfaceId } = PROPER[this.#personality];
    for (const l of [0, 1, 2, 3, 4]) {
      await this.access(0, 0x81, 'free');
      this.#t.is(await this.get(l, 0x14, 4), capability);
      this.#t.is(await this.get(l, 0x30, 4), interfaceId);
      this.#t.false([0, 0xffff_ffff].includes(await this.get(l, 0xf00, 4)));
      this.#t.false([0, 0xffff_ffff].includes(await this.get(l, 0xf04, 4)));
    }
  }

  async requestAndGiveUp(): Promise<void> {
    for (const l of OTHERS) {
      await this.access(l, 0x81, 'free');
      await this.put(l, ACCESS, REQUEST);
      await this.access(l, 0xa1, 'has it');
      await this.put(l, ACCESS, GIVE_UP);
      await this.access(l, 0x81, 'free again');
    }
  }

  async seize(): Promise<void> {
    for (const L of OTHERS) {
      let pending = 0;
      await this.access(L, 0x81, 'free');
      await this.put(L, ACCESS, REQUEST);
      await this.access(L, 0xa1, 'has it');
      for (let l = 0; l < L; l += 1) {
        await this.access(l, 0x81 | pending, 'before asking');
        await this.put(l, ACCESS, REQUEST);
        await this.access(l, 0x83 | pending, 'waits');
        await this.access(L, 0xa5, 'sees that one waits');
        await this.put(l, ACCESS, SEIZE);
        await this.access(l, 0x83 | pending, 'cannot seize from a higher one');
        await this.access(L, 0xa5, 'keeps it');
        pending = PENDING;
      }
      for (let l = L + 1; l < 4; l += 1) {
        await this.put(l, ACCESS, REQUEST);
        await this.access(l, 0x83 | pending, 'waits');
        await this.access(l - 1, 0xa5, 'sees that one waits');
        await this.put(l, ACCESS, SEIZE);
        await this.access(l, 0xa1 | pending, 'has seized it');
        await this.access(l - 1, 0x91 | pending, 'was seized from');
        await this.put(l - 1, ACCESS, SEIZED);
        await this.access(l - 1, 0x81 | pending, 'has seen it');
      }
      if (L <= 1) pending = 0;
      await this.put(3, ACCESS, GIVE_UP);
      await this.access(3, 0x81 | pending, 'gave it up');
      for (let l = L - 1; l >= 0; l -= 1) {
        await this.access(l, 0xa1 | pending, 'inherits it');
        await this.put(l, ACCESS, GIVE_UP);
        if (l === 1) pending = 0;
      }
      for (const l of OTHERS) await this.access(l, 0x81, 'free in the end');
    }
  }

  async release(): Promise<void> {
    for (const L of [3, 2, 1, 0]) {
      let pending = 0;
      await this.access(L, 0x81, 'free');
      await this.put(L, ACCESS, REQUEST);
      await this.access(L, 0xa1, 'has it');
      for (const l of OTHERS.filter(other => other !== L)) {
        await this.put(l, ACCESS, REQUEST);
        await this.access(l, 0x83 | pending, 'waits');
        pending = PENDING;
      }
      await this.put(L, ACCESS, GIVE_UP);
      for (const l of [3, 2, 1, 0].filter(other => other !== L)) {
        await this.access(l, 0xa1 | pending, 'inherits it');
        await this.put(l, ACCESS, GIVE_UP);
        if (l === 1 || (L <= 1 && l === 2)) pending = 0;
        await this.access(l, 0x81 | pending, 'gave it up');
      }
    }
  }

  async transmit(): Promise<void> {
    const t = this.#t;
    const low = async (): Promise<number> => (await this.get(0, STS, 4)) & 0xff;
    const burst = async (): Promise<number> => ((await this.get(0, STS, 4)) >>> 8) & 0xffff;
    await this.put(0, ACCESS, REQUEST);
    await this.access(0, 0xa1, 'has it');
    const sts = await this.get(0, STS, 4);
    t.is(sts & 0xff, 0);
    t.is((sts >>> 26) & 3, PROPER[this.#personality].family);
    t.true(((sts >>> 8) & 0xffff) >= 128);
    await this.put(0, STS, 0x40, 4);
    t.is(await low(), 0x40);
    const command = hex(EXCHANGE[this.#personality].command);
    for (const [i, byte] of command.entries()) {
      const before = await burst();
      await this.put(0, FIFO, byte);
      t.is(await low(), i === command.length - 1 ? 0x80 : 0x88);
      t.is(await burst(), before - 1);
    }
    await this.put(0, STS, 0x20);
    for (let i = 0; i < 10_000 && ((await low()) & 0x10) === 0; i += 1);
    t.is(await low(), 0x90);
    t.is(await burst(), 10);
    const reply: number[] = [];
    for (let left = 10; left > 0; left -= 1) {
      t.is(await burst(), left);
      reply.push(await this.get(0, FIFO));
    }
    t.is(toHex(Uint8Array.from(reply)), EXCHANGE[this.#personality].reply);
    await this.put(0, ACCESS, GIVE_UP);
  }
}

/** All steps. In TPM 1.2 the command that is sent must be the first one: it starts the TPM. */
export async function suite(
  t: ExecutionContext,
  world: World,
  personality: '1.2' | '2.0',
): Promise<void> {
  const steps = new Steps(t, world, personality);
  await steps.localities();
  await steps.requestAndGiveUp();
  await steps.seize();
  await steps.release();
  await steps.transmit();
}

/** Writes (locality < value) and then ACCESS of all five localities. */
// biome-ignore format: table
export const RECORDED: [string, string][] = [
  ['',                       '81 81 81 81 81'],
  ['1<02',                   '81 a1 81 81 81'],
  ['0<02',                   '83 a5 85 85 85'],
  ['2<02',                   '87 a5 87 85 85'],
  ['0<08',                   '87 a5 87 85 85'],
  ['0<20',                   '85 a5 83 85 85'],
  ['0<02 3<08',              '87 95 87 a5 85'],
  ['1<10',                   '87 85 87 a5 85'],
  ['3<08',                   '87 85 87 a5 85'],
  ['3<20',                   '83 85 a5 85 85'],
  ['2<20',                   'a1 81 81 81 81'],
  ['0<20',                   '81 81 81 81 81'],
  ['0<08',                   'a1 81 81 81 81'],
  ['0<20',                   '81 81 81 81 81'],
  ['0<0a',                   'a1 81 81 81 81'],
  ['0<20',                   '81 81 81 81 81'],
  ['0<22',                   'a1 81 81 81 81'],
  ['0<22',                   '81 81 81 81 81'],
  ['1<02 2<2a',              '81 91 a1 81 81'],
  ['2<20',                   '81 91 81 81 81'],
  ['1<10',                   '81 81 81 81 81'],
  ['0<02 3<02 1<02',         'a5 87 85 87 85'],
  ['2<08',                   '95 87 a5 87 85'],
  ['2<20',                   '95 83 85 a5 85'],
  ['3<20',                   '91 a1 81 81 81'],
  ['1<20',                   '91 81 81 81 81'],
  ['0<10',                   '81 81 81 81 81'],
  ['1<ff',                   '81 a1 81 81 81'],  // Acts as a seize.
  ['1<02',                   '81 a1 81 81 81'],  // Has it already.
  ['1<20',                   '81 81 81 81 81'],
];

/** The recorded trace, through whatever way leads to the registers. */
export async function arbitration(t: ExecutionContext, world: World): Promise<void> {
  for (const [writes, expected] of RECORDED) {
    for (const write of writes.split(' ').filter(part => part !== '')) {
      const [locality, value] = write.split('<');
      await world.write(BASE + Number(locality) * 0x1000, 1, Number.parseInt(value!, 16));
    }
    const access: string[] = [];
    for (const l of [0, 1, 2, 3, 4])
      access.push((await world.read(BASE + l * 0x1000, 1)).toString(16));
    t.is(access.join(' '), expected, writes);
  }
}
