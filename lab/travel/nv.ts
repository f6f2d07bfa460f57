/** What happens to NV in a life: indices of every kind, written, locked, and all that there is room for. */
import {
  type Command,
  commands,
  NV_INDEX,
  NV_PER,
  type NvDataPublic,
  nvPublic,
  pcrsHolding,
} from '../../src/guest/index.js';
import { type HeldIndex, type Life, SECRET } from './life.js';

export const OWNERS = NV_PER.OWNERREAD | NV_PER.OWNERWRITE;
const READS = [NV_PER.OWNERREAD, NV_PER.AUTHREAD, NV_PER.PPREAD, 0];
const WRITES = [NV_PER.OWNERWRITE, NV_PER.AUTHWRITE, NV_PER.PPWRITE];
const LOCKS = [
  NV_PER.WRITEALL,
  NV_PER.WRITEDEFINE,
  NV_PER.WRITE_STCLEAR,
  NV_PER.GLOBALLOCK,
  NV_PER.READ_STCLEAR,
];
const INDICES = [0x1100, 0x1101, 0x1102, 0x1103, 0x1104, 0x1600, 0x0001_1101, 0x0001_1600];
const D_INDEX = 0x1000_1100;

function someNv(life: Life): NvDataPublic {
  const attributes = [life.pick(READS)!, life.pick(WRITES)!, ...LOCKS.filter(() => life.chance(4))];
  const index = life.chance(10) ? life.pick([NV_INDEX.DIR, D_INDEX])! : life.pick(INDICES)!;
  const size = life.chance(12) ? life.below(9000) : life.below(64);
  const here = new Map([[life.pick([0, 7, 16])!, new Uint8Array(20)]]);
  const bound = life.chance(5) ? pcrsHolding(here, life.pick([1, 3, 0x1f])) : undefined;
  const pcr = life.chance(2) ? { read: bound } : { write: bound };
  const wanted = Object.entries(pcr).filter(([, info]) => info !== undefined);
  return nvPublic(
    index,
    size,
    attributes.reduce((sum, bit) => sum + bit, 0),
    Object.fromEntries(wanted),
  );
}

export function defineNv(life: Life): void {
  const { owner } = life;
  const pub = someNv(life);
  life.try(() => {
    if (owner !== undefined && !life.chance(4)) life.client.nvDefineSpace(pub, owner, SECRET);
    else life.run(commands.nvDefineSpace(pub, SECRET));
    const { nvIndex: index, dataSize: size } = pub;
    life.indices = life.indices.filter(one => one.index !== index);
    if (size === 0) return;
    life.indices.push({ index, size, attributes: pub.permission.attributes });
  });
  if (life.chance(40)) {
    life.try(() => life.run(commands.nvDefineSpace(nvPublic(NV_INDEX.LOCK, 0, 0), SECRET)));
  }
}

/** Takes what is left of the NV area. */
export function fillNv(life: Life): void {
  const { owner } = life;
  if (owner === undefined || !life.chance(6)) return;
  let size = 16_384;
  for (let index = 0x1200; size > 0; index += 1) {
    const pub = nvPublic(index, size, NV_PER.OWNERREAD | NV_PER.OWNERWRITE);
    const done = life.try(() => {
      life.client.nvDefineSpace(pub, owner, SECRET);
      life.indices.push({ index, size, attributes: pub.permission.attributes });
      return true;
    });
    if (done === undefined) size = Math.floor(size / 2);
  }
}

/** Writes to an index with an authorisation that it admits; writing nothing locks it. */
export function writeNv(life: Life): void {
  const held = life.pick(life.indices);
  if (held === undefined) return;
  const whole = held.size <= 2048 && life.chance(2);
  const offset = whole ? 0 : life.below(held.size);
  const length = whole ? held.size : life.below(Math.min(held.size - offset, 64) + 1);
  const data = life.bytes(length);
  life.try(() => write(life, held, offset, data));
  if (life.chance(8)) {
    const lock = commands.nvWriteValue(NV_INDEX.ZERO, 0, new Uint8Array());
    life.try(() => (life.owner === undefined ? life.run(lock) : life.run(lock, [life.owner])));
  }
}

function write(life: Life, held: HeldIndex, offset: number, data: Uint8Array): void {
  const bits = [NV_PER.AUTHWRITE, NV_PER.OWNERWRITE] as const;
  asPermitted(life, held, bits, auth => commands.nvWriteValue(held.index, offset, data, auth));
}

/** Reads from an index with an authorisation that it admits. */
export function readNv(life: Life, held: HeldIndex, offset: number, length: number): Uint8Array {
  const bits = [NV_PER.AUTHREAD, NV_PER.OWNERREAD] as const;
  const command = (auth: boolean) => commands.nvReadValue(held.index, offset, length, auth);
  return asPermitted(life, held, bits, command);
}

/** Reads nothing from an index, which locks it. */
export function lockNv(life: Life): void {
  const held = life.pick(life.indices);
  if (held !== undefined) life.try(() => readNv(life, held, 0, 0));
}

/** Uses an index by its own secret, as the owner, or without authorisation, as its attributes have it. */
function asPermitted<T>(
  life: Life,
  { attributes }: HeldIndex,
  [own, owners]: readonly [number, number],
  command: (auth: boolean) => Command<T>,
): T {
  if ((attributes & own) !== 0) return life.run(command(true), [SECRET]);
  if ((attributes & owners) === 0 || life.owner === undefined) return life.run(command(false));
  return life.run(command(false), [life.owner]);
}
