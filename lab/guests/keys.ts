/** Keys: made, loaded, let go, used, certified. */

import { type Command, type Key11, pcrsHolding, pubKey, raw } from '../../src/guest/index.js';
import { concat, encode } from '../../src/wire/codec.js';
import {
  BINDING,
  ENC,
  FLAG,
  LEGACY,
  parms,
  publicOf,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
  template12,
} from '../scenarios/keys-common.js';
import type { Auth, Family, RandomGuest } from './guest.js';
import {
  anyKey,
  aParent,
  asKey,
  drop,
  HELD,
  type Held,
  heldKey,
  load,
  sealedFor,
  WRAPPED,
  wrap,
} from './held.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const DIGEST = new Uint8Array(20).fill(0x11);
const ZEROS = new Uint8Array(20);
const PCR_16_AT_START = pcrsHolding(new Map([[16, ZEROS]])).digestAtRelease;
/** TPM_BOUND_DATA (Part 2, §10.4): version 1.1 and the payload type, then the data. */
const BOUND_HEAD = Uint8Array.of(1, 1, 0, 0, 2);

const TEMPLATES = [SIGNING_DER, SIGNING, SIGNING_INFO, BINDING, LEGACY, STORAGE].flatMap(key => [
  key,
  { ...key, authDataUsage: 0 },
  { ...key, keyFlags: FLAG.MIGRATABLE },
]) as [Key11, ...Key11[]];

function makeKey(guest: RandomGuest): void {
  wrap(guest, guest.pick(TEMPLATES), aParent(guest));
}

/** A TPM_PCR_INFO over PCR 16, which holds what it held at the start or will never do so. */
const info11 = (guest: RandomGuest): Uint8Array =>
  concat(selection(16), guest.chance(4) ? DIGEST : PCR_16_AT_START, ZEROS);
/** A TPM_PCR_INFO_LONG over the same, from some localities. */
const info12 = (guest: RandomGuest): Uint8Array =>
  concat(
    ...[word16(6), byte(1), byte(guest.pick([0x1f, 0x1f, 0x0c])), selection(16), selection(16)],
    ...[ZEROS, guest.chance(4) ? DIGEST : PCR_16_AT_START],
  );

/** Keys of a rarer kind: for PCRs and localities, of other lengths and exponents, fleeting. */
function makeOddKey(guest: RandomGuest): void {
  const key = guest.pick([SIGNING, SIGNING_DER, BINDING, LEGACY]);
  const bits = guest.pick([512, 544, 768, 1024]);
  const { encScheme, sigScheme } = key.algorithmParms;
  const exponent = guest.pick([Uint8Array.of(3), Uint8Array.of(1, 0, 1), new Uint8Array()]);
  const odd = guest.pick<Key11>([
    { ...key, pcrInfo: info11(guest) },
    { ...key, keyFlags: FLAG.VOLATILE },
    { ...key, keyFlags: FLAG.PCRIGNOREDONREAD, pcrInfo: info11(guest) },
    { ...key, authDataUsage: 3 },
    { ...key, algorithmParms: parms(encScheme, sigScheme, bits, exponent) },
  ]);
  const newer = guest.chance(3);
  const info = newer ? template12(key, guest.chance(4) ? new Uint8Array() : info12(guest)) : odd;
  const wrapped = wrap(guest, newer ? key : odd, aParent(guest), info);
  // Others want keys that work at any time, and find none of these.
  WRAPPED.drop(guest, wrapped);
  const loaded = load(guest, wrapped);
  const ask = guest.pick([
    rawCommand('Sign', 1, loaded.handle, counted(guest.bytes(20))),
    rawCommand('Quote', 1, loaded.handle, DIGEST, pcrs(guest)),
    rawCommand('GetPubKey', 1, loaded.handle),
    rawCommand('UnBind', 1, loaded.handle, bound(guest, loaded)),
  ]);
  guest.attempt(() => useWith(guest, loaded, ask));
  drop(guest, loaded);
}

function loadKey(guest: RandomGuest): void {
  const wrapped = WRAPPED.pick(guest);
  if (wrapped !== undefined) load(guest, wrapped);
}

function dropKey(guest: RandomGuest): void {
  drop(guest, anyKey(guest));
}

/** Runs what is asked of a key: without its secret, in a session to it, or in an open one. */
function useWith(guest: RandomGuest, key: Held, command: Command<unknown>): void {
  if (guest.chance(6)) guest.run(command);
  else if (guest.chance(3)) guest.runIn(asKey(key), () => command);
  else guest.run(command, [key.secret]);
}

/** Uses a key of this kind, or now and then any other. */
const use =
  (kinds: readonly [Key11, ...Key11[]], ask: (guest: RandomGuest, key: Held) => Command<unknown>) =>
  (guest: RandomGuest): void => {
    const key = guest.chance(4) ? anyKey(guest) : heldKey(guest, guest.pick(kinds));
    useWith(guest, key, ask(guest, key));
  };

function area(guest: RandomGuest): Uint8Array {
  const length = guest.chance(2) ? 20 : guest.pick([0, 53, 64, 128]);
  return counted(new Uint8Array(length).fill(guest.below(256)));
}

/** Data that was bound to a key, or that is nothing of the kind. */
function bound(guest: RandomGuest, { wrapped }: Held): Uint8Array {
  if (wrapped === undefined || guest.wrongly()) return counted(new Uint8Array(128).fill(1));
  const pub = publicOf(wrapped.blob);
  const scheme = pub.algorithmParms.encScheme;
  if (scheme !== ENC.OAEP) return counted(new Uint8Array(pub.modulus.length).fill(1));
  return counted(sealedFor(guest, pub, concat(BOUND_HEAD, guest.bytes(1 + guest.below(17)))));
}

const pcrs = (guest: RandomGuest): Uint8Array => selection(guest.below(24), guest.below(24));

/** A key that certifies, and a key that is certified, each with its secret or without. */
function certify(guest: RandomGuest): void {
  const by = guest.chance(5) ? anyKey(guest) : heldKey(guest, guest.pick([SIGNING, SIGNING_INFO]));
  const key = guest.chance(5) ? anyKey(guest) : heldKey(guest, guest.pick(TEMPLATES));
  const second = guest.chance(2);
  const command = second
    ? rawCommand('CertifyKey2', 2, key.handle, by.handle, new Uint8Array(20), DIGEST)
    : rawCommand('CertifyKey', 2, by.handle, key.handle, DIGEST);
  const both: readonly Auth[] = second ? [[key.secret], [by.secret]] : [[by.secret], [key.secret]];
  guest.run(command, ...both.slice(guest.chance(3) ? 1 + guest.below(2) : 0));
}

function control(guest: RandomGuest): void {
  const held = HELD.pick(guest);
  if (held?.wrapped === undefined) return;
  const pub = encode(pubKey, publicOf(held.wrapped.blob));
  const command = (keep: number) =>
    rawCommand('KeyControlOwner', 1, held.handle, pub, 1, byte(keep));
  guest.run(command(1), [guest.owner]);
  if (!guest.chance(4)) guest.attempt(() => guest.run(command(0), [guest.owner]));
}

const SIGNERS: readonly [Key11, ...Key11[]] = [SIGNING, SIGNING_INFO, SIGNING_DER, LEGACY];
const ATTESTERS: readonly [Key11, ...Key11[]] = [SIGNING, SIGNING_INFO, LEGACY];

// biome-ignore format: table
export const KEYS: Family = [
  [4,  makeKey],
  [4,  makeOddKey],
  [4,  loadKey],
  [7,  dropKey],
  [4,  use(SIGNERS, (guest, { handle }) => rawCommand('Sign', 1, handle, area(guest)))],
  [4,  use(ATTESTERS, (guest, { handle }) => rawCommand('Quote', 1, handle, guest.bytes(20), pcrs(guest)))],
  [4,  use(ATTESTERS, (guest, { handle }) => rawCommand('Quote2', 1, handle, DIGEST, pcrs(guest), byte(guest.below(2))))],
  [4,  use(ATTESTERS, (guest, { handle }) => rawCommand('TickStampBlob', 1, handle, guest.bytes(20), DIGEST))],
  [4,  use(ATTESTERS, (guest, { handle }) => rawCommand('GetAuditDigestSigned', 1, handle, byte(guest.below(2)), DIGEST))],
  [4,  use([SIGNING, STORAGE, BINDING], (_, { handle }) => rawCommand('GetPubKey', 1, handle))],
  [4,  use([BINDING, BINDING, LEGACY], (guest, key) => rawCommand('UnBind', 1, key.handle, bound(guest, key)))],
  [8,  certify],
  [4,  control],
];
