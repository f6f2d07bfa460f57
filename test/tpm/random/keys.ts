/** Keys: made, loaded, let go, used, certified. */
import {
  BINDING,
  FLAG,
  KEY,
  LEGACY,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
} from '../../../scripts/transcripts/keys-common.js';
import {
  type Command,
  ENTITY,
  type Key11,
  key11,
  pubKey,
  raw,
} from '../../../src/testing/guest/index.js';
import { decode, encode } from '../../../src/wire/codec.js';
import type { Family, RandomGuest } from './guest.js';
import { anyKey, aParent, drop, HELD, type Held, load, WRAPPED, wrap } from './held.js';

const { byte, counted, rawCommand, selection } = raw;
const DIGEST = new Uint8Array(20).fill(0x11);

const TEMPLATES = [SIGNING_DER, SIGNING, SIGNING_INFO, BINDING, LEGACY, STORAGE].flatMap(key => [
  key,
  { ...key, authDataUsage: 0 },
  { ...key, keyFlags: FLAG.MIGRATABLE },
]) as [Key11, ...Key11[]];

function makeKey(guest: RandomGuest): void {
  wrap(guest, guest.pick(TEMPLATES), aParent(guest));
}

function loadKey(guest: RandomGuest): void {
  const wrapped = WRAPPED.pick(guest);
  if (wrapped !== undefined) load(guest, wrapped);
}

function dropKey(guest: RandomGuest): void {
  drop(guest, anyKey(guest));
}

function useKey(guest: RandomGuest): void {
  const key = anyKey(guest);
  const { handle } = key;
  const data = new Uint8Array(guest.pick([20, 20, 0, 53, 64, 128])).fill(guest.below(256));
  const command = guest.pick<Command<unknown>>([
    rawCommand('Sign', 1, handle, counted(data)),
    rawCommand('Quote', 1, handle, DIGEST, selection(guest.below(24))),
    rawCommand('Quote2', 1, handle, DIGEST, selection(guest.below(24)), byte(guest.below(2))),
    rawCommand('GetPubKey', 1, handle),
    rawCommand('UnBind', 1, handle, counted(data)),
    rawCommand('GetAuditDigestSigned', 1, handle, byte(0), DIGEST),
  ]);
  useWith(guest, command, key);
}

/** Runs a command with a key: without a secret, in a session to the key, or in an open one. */
function useWith(guest: RandomGuest, command: Command<unknown>, key: Held): void {
  if (guest.chance(4)) guest.run(command);
  else if (guest.chance(3)) {
    guest.run(command, [KEY, guest.osap(ENTITY.KEYHANDLE, key.handle, key.secret)]);
  } else guest.run(command, [key.secret]);
}

function certify(guest: RandomGuest): void {
  const [by, key] = [anyKey(guest), anyKey(guest)];
  const command = guest.chance(2)
    ? rawCommand('CertifyKey', 2, by.handle, key.handle, DIGEST)
    : rawCommand('CertifyKey2', 2, key.handle, by.handle, new Uint8Array(20), DIGEST);
  guest.run(command, ...[[by.secret] as const, [key.secret] as const].slice(guest.below(3)));
}

function control(guest: RandomGuest): void {
  const held = HELD.pick(guest);
  if (held?.wrapped === undefined) return;
  const { algorithmParms, modulus } = decode(key11, held.wrapped.blob);
  const pub = encode(pubKey, { algorithmParms, modulus });
  const keep = byte(guest.below(2));
  guest.run(rawCommand('KeyControlOwner', 1, held.handle, pub, 1, keep), [guest.owner]);
}

// biome-ignore format: table
export const KEYS: Family = [
  [10, makeKey],
  [30, loadKey],
  [30, useKey],
  [20, certify],
  [10, dropKey],
  [4,  control],
];
