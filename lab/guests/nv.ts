/** NV indices of every permission: defined, written, read, locked, let go. */
import {
  commands,
  ENTITY,
  EVERY_LOCALITY,
  NV_INDEX,
  NV_PER,
  type NvDataPublic,
  nvPublic,
  pcrsHolding,
  raw,
} from '../../src/guest/index.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { bePresent } from './presence.js';

const FIRST = 0x1100;
const INDICES = 6;
const SECRET = new Uint8Array(20).fill(0x6e);
const ZEROS = new Uint8Array(20);
const PLATFORM_BIT = 0x1000_0000;

/** An index as the guest believes it to be. */
interface Index {
  readonly index: number;
  readonly size: number;
  readonly attributes: number;
}
const DEFINED = new Kept<Index>('until the owner goes');

const { OWNERWRITE, AUTHWRITE, PPWRITE, OWNERREAD, AUTHREAD, PPREAD } = NV_PER;
const WRITE = [OWNERWRITE, AUTHWRITE, AUTHWRITE, AUTHWRITE | PPWRITE, PPWRITE, 0] as const;
const READ = [OWNERREAD, AUTHREAD, AUTHREAD, AUTHREAD | PPREAD, PPREAD, 0] as const;
const LOCKS = [
  NV_PER.WRITEALL,
  NV_PER.WRITEDEFINE,
  NV_PER.WRITE_STCLEAR,
  NV_PER.GLOBALLOCK,
  NV_PER.READ_STCLEAR,
] as const;

function attributesOf(guest: RandomGuest): number {
  const locks = guest.chance(2) ? guest.pick(LOCKS) : 0;
  return guest.pick(WRITE) + guest.pick(READ) + locks;
}

/** PCRs or localities that a read or a write wants. */
function conditions(guest: RandomGuest) {
  const some = (): NvDataPublic['pcrInfoRead'] =>
    guest.chance(2)
      ? pcrsHolding(new Map([[16, ZEROS]]))
      : pcrsHolding(new Map(), guest.chance(2) ? 0x0c : EVERY_LOCALITY);
  return guest.chance(3) ? { read: some(), write: some() } : {};
}

function define(guest: RandomGuest): Index {
  const index = FIRST + guest.below(INDICES) + (guest.chance(10) ? PLATFORM_BIT : 0);
  const old = DEFINED.of(guest).find(one => one.index === index);
  // Defined anew half-way, libtpms fails for good: what is there goes first.
  if (old !== undefined) release(guest, old);
  const [size, attributes] = [1 + guest.below(12), attributesOf(guest)];
  put(guest, nvPublic(index, size, attributes, conditions(guest)));
  const made = { index, size, attributes };
  DEFINED.keep(guest, made, INDICES);
  return made;
}

/** TPM_NV_DefineSpace, by the owner or without authorisation. */
function put(guest: RandomGuest, pub: NvDataPublic): void {
  if (guest.chance(4)) {
    bePresent(guest);
    guest.run(commands.nvDefineSpace(pub, SECRET));
  } else {
    guest.runIn(guest.asOwner, session =>
      commands.nvDefineSpace(pub, guest.hidden(session, SECRET)),
    );
  }
}

function release(guest: RandomGuest, old: Index): void {
  DEFINED.drop(guest, old);
  guest.attempt(() => put(guest, nvPublic(old.index, 0, NV_PER.OWNERWRITE)));
}

const has = ({ attributes }: Index, bit: number): boolean => Math.floor(attributes / bit) % 2 === 1;

/** An index, an offset and a length, which fit most of the time. */
function place(guest: RandomGuest): Index & { offset: number; length: number } {
  const found = DEFINED.pick(guest) ?? define(guest);
  const offset = guest.chance(2) ? 0 : guest.below(found.size);
  const whole = found.size - offset;
  const length = guest.chance(8) ? 0 : guest.chance(2) ? whole : 1 + guest.below(whole);
  const past = guest.wrongly() ? 1 + guest.below(20) : 0;
  const index = guest.wrongly(6) ? FIRST + INDICES : found.index;
  return { ...found, index, offset, length: length + past };
}

function write(guest: RandomGuest): void {
  const at = place(guest);
  const data = new Uint8Array(at.length).fill(guest.below(256));
  const own = has(at, NV_PER.AUTHWRITE) !== guest.wrongly();
  const command = commands.nvWriteValue(at.index, at.offset, data, own);
  if (has(at, NV_PER.PPWRITE)) bePresent(guest);
  if (own) withSecret(guest, at, command);
  else if (has(at, NV_PER.OWNERWRITE)) guest.run(command, [guest.owner]);
  else guest.run(command);
}

function read(guest: RandomGuest): void {
  const at = place(guest);
  const own = has(at, NV_PER.AUTHREAD) !== guest.wrongly();
  const command = commands.nvReadValue(at.index, at.offset, at.length, own);
  if (has(at, NV_PER.PPREAD)) bePresent(guest);
  if (own) withSecret(guest, at, command);
  else if (has(at, NV_PER.OWNERREAD)) guest.run(command, [guest.owner]);
  else guest.run(command);
}

/** In an open session, or in one that is bound to the index. */
function withSecret(
  guest: RandomGuest,
  { index }: Index,
  command: ReturnType<typeof commands.nvWriteValue> | ReturnType<typeof commands.nvReadValue>,
): void {
  if (guest.chance(3)) guest.runIn<unknown>([ENTITY.NV, index, SECRET], () => command);
  else guest.run<unknown>(command, [SECRET]);
}

/** From a locality where the platform has another one. */
const somewhere =
  (act: (guest: RandomGuest) => void) =>
  (guest: RandomGuest): void => {
    if (guest.chance(4)) guest.from(guest.below(5), () => act(guest));
    else act(guest);
  };

/** Locks: of all indices that follow the global lock, or of the checks themselves. */
function lock(guest: RandomGuest): void {
  if (guest.chance(2)) guest.run(commands.nvWriteValue(NV_INDEX.ZERO, 0, new Uint8Array()));
  else guest.run(commands.nvDefineSpace(nvPublic(NV_INDEX.LOCK, 0, 0), SECRET));
}

/** The register of TPM 1.1 as an index. */
function dir(guest: RandomGuest): void {
  if (guest.chance(2)) guest.run(commands.nvReadValue(NV_INDEX.DIR, 0, 20));
  else guest.run(commands.nvWriteValue(NV_INDEX.DIR, 0, guest.bytes(20)), [guest.owner]);
}

// biome-ignore format: table
export const NV: Family = [
  [4, define],
  [10, somewhere(write)],
  [10, somewhere(read)],
  [1, lock],
  [2, dir],
  [3, guest => guest.run(raw.rawCommand('DirWriteAuth', 0, 0, guest.bytes(20)), [guest.owner])],
  [3, guest => guest.run(raw.dirRead(0))],
];
