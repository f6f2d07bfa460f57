/** The sessions that a life leaves open, delegations and what they open included. */
import { commands, ENTITY, HANDLE, osapShared, plain, raw } from '../../src/guest/index.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';
import { Channel } from '../reference/channel.js';
import { ALGORITHM, ATTRIBUTE, SCHEME } from '../reference/tunnel.js';
import type { HeldSession, Life } from './life.js';
import { SECRET } from './life.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const n4 = (value: number): Uint8Array => encode(u32, value);
const READ_EK = commands.ownerReadInternalPub(HANDLE.EK);

export function openOiap(life: Life): void {
  life.try(() => {
    life.sessions.push({ session: life.client.openOiap(), to: 'anything', target: 0 });
  });
}

/** Secrets travel by XOR, or by AES, in an OSAP session. */
export function openOsap(life: Life): void {
  const aes = life.chance(3) ? 0x0600 : 0;
  const [key, held, counter] = [
    life.pick(life.keys),
    life.pick(life.indices),
    life.pick(life.counters),
  ];
  const kinds: [HeldSession['to'], number, number, Uint8Array][] = [];
  if (life.owner !== undefined) kinds.push(['the owner', ENTITY.OWNER, HANDLE.OWNER, life.owner]);
  if (life.owner !== undefined) kinds.push(['a key', ENTITY.SRK, HANDLE.SRK, life.srk]);
  if (key !== undefined) kinds.push(['a key', ENTITY.KEYHANDLE, key.handle, key.secret]);
  if (held !== undefined) kinds.push(['an NV index', ENTITY.NV, held.index, SECRET]);
  if (counter !== undefined) kinds.push(['a counter', ENTITY.COUNTER, counter, SECRET]);
  const kind = life.pick(kinds);
  if (kind === undefined) return;
  const [to, type, target, secret] = kind;
  life.try(() => {
    const session = life.client.openOsap(type + aes, target, secret);
    life.sessions.push({ session, to, target });
  });
}

/** What a session that is open is good for; it goes on. */
export function useSession(life: Life): void {
  const held = life.pick(life.sessions);
  if (held !== undefined) life.try(() => useHeld(life, held));
}

/** Uses a session for what it was opened for. */
export function useHeld(life: Life, held: HeldSession): void {
  const { to, target } = held;
  const sign = rawCommand('Sign', 1, target, counted(new Uint8Array(20)));
  if (to === 'a key') life.runIn(held, sign, life.secretOf(target));
  else if (to === 'an NV index') life.runIn(held, commands.nvReadValue(target, 0, 1, true), SECRET);
  else if (to === 'a counter') life.runIn(held, rawCommand('IncrementCounter', 0, target), SECRET);
  else if (life.owner !== undefined) life.runIn(held, READ_EK, life.owner);
}

/** A transport session of any kind, with a few commands through it. */
export function openTransport(life: Life): void {
  const { owner, srk } = life;
  if (owner === undefined || life.transports.length > 8) return;
  const attributes = life.pick([0, ATTRIBUTE.ENCRYPT, ATTRIBUTE.LOG, ATTRIBUTE.ENCRYPT + 2, 4])!;
  const way = life.pick([
    [ALGORITHM.MGF1, SCHEME.NONE],
    [ALGORITHM.AES128, SCHEME.CTR],
    [ALGORITHM.AES128, SCHEME.OFB],
  ] as const)!;
  life.try(() => {
    const secrets = { owner, srk };
    const channel = new Channel(life.client, life.subject.transmit, attributes, way, secrets);
    channel.open();
    life.transports.push(channel.handle);
    for (let count = life.below(3); count > 0; count -= 1) {
      channel.run(plain(commands.pcrRead(count)).request);
    }
  });
}

const OWNERS = 1;
const KEYS = 2;
const ALL = 0xffff_ffff;
const ALL_OF_KEYS = 0x1fff_ffff;

/** A TPM_DELEGATE_PUBLIC. */
function delegation(life: Life, type: number, family: number): Uint8Array {
  const all = type === OWNERS ? ALL : ALL_OF_KEYS;
  const permissions = life.chance(2) ? all : (life.below(2 ** 28) * 8 + 7) % (all + 1);
  const pcrs = concat(life.chance(4) ? selection(16) : selection(), byte(0x1f), new Uint8Array(20));
  const bits = concat(word16(0x1a), n4(type), n4(permissions), n4(0));
  return concat(word16(0x1b), byte(life.below(256)), pcrs, bits, n4(family), n4(life.below(3)));
}

const manage = (family: number, operation: number, data: Uint8Array) =>
  rawCommand('Delegate_Manage', 0, family, operation, counted(data));

/** Families, with an owner or without. */
export function manageFamilies(life: Life): void {
  const family = life.pick(life.families) ?? 0;
  const by = life.owner === undefined ? [] : [[life.owner] as const];
  life.try(() => {
    if (family === 0 || life.chance(3)) {
      const made = life.run(manage(0, 1, byte(life.below(256))), ...by);
      const id = Buffer.from(made).readUInt32BE(4);
      life.run(manage(id, 2, byte(1)), ...by);
      life.families.push(id);
    } else if (life.chance(8)) life.run(manage(family, 4, new Uint8Array()), ...by);
    else life.run(manage(family, life.pick([2, 2, 3])!, byte(Number(!life.chance(4)))), ...by);
  });
}

/** Delegates what is the owner's, or a key's; keeps it as a row, or opens a session by it. */
export function delegate(life: Life): void {
  const { owner } = life;
  const family = life.pick(life.families);
  if (owner === undefined || family === undefined) return;
  const key = life.chance(2) ? life.pick(life.keys) : undefined;
  life.try(() => {
    if (key !== undefined) {
      const pub = delegation(life, KEYS, family);
      const made = life.runWith([ENTITY.KEYHANDLE, key.handle], key.secret, hidden =>
        rawCommand('Delegate_CreateKeyDelegation', 1, key.handle, pub, hidden),
      );
      life.blobs.push({ blob: made.slice(4), key: key.handle });
      return;
    }
    const pub = delegation(life, OWNERS, family);
    const increment = byte(Number(life.chance(8)));
    const made = life.runWith([ENTITY.OWNER, HANDLE.OWNER], owner, hidden =>
      rawCommand('Delegate_CreateOwnerDelegation', 0, increment, pub, hidden),
    );
    const blob = made.slice(4);
    life.blobs.push({ blob, key: undefined });
    const row = life.below(4);
    if (life.chance(3)) return;
    const load = rawCommand('Delegate_LoadOwnerDelegation', 0, row, blob.length, blob);
    life.run(load, [owner]);
  });
}

/** From here on the secret of a row stands for the owner's. */
export function pointToRow(life: Life): void {
  for (let row = 0; row < ROWS; row += 1) {
    life.try(() => {
      life.run(rawCommand('SetOwnerPointer', 0, word16(ROW), row));
      life.owner = SECRET;
    });
  }
}

const ROWS = 4;
const OWNER_BLOB = 7;
const ROW = 8;
const KEY_BLOB = 9;

export function openDsap(life: Life): void {
  const held = life.pick(life.blobs);
  const row = life.below(4);
  life.try(() => {
    if (held === undefined || life.chance(4)) dsap(life, ROW, 0, n4(row));
    else if (held.key === undefined) dsap(life, OWNER_BLOB, 0, held.blob);
    else dsap(life, KEY_BLOB, held.key, held.blob);
  });
}

export function dsap(life: Life, type: number, key: number, value: Uint8Array): void {
  const nonceOdd = life.client.nonce();
  const command = rawCommand('DSAP', 0, word16(type), key, nonceOdd, counted(value));
  const opened = life.run(command);
  const session = {
    handle: Buffer.from(opened).readUInt32BE(),
    nonceEven: opened.slice(4, 24),
    shared: osapShared(SECRET, opened.slice(24, 44), nonceOdd),
  };
  life.sessions.push({ session, to: type === KEY_BLOB ? 'a key' : 'the owner', target: key });
}
