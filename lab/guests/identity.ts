/** Identities: made, loaded, activated, quoting. Their keys have 2048 bits: they are not cheap. */

import { key11, raw } from '../../src/guest/index.js';
import { concat, encode } from '../../src/wire/codec.js';
import { digestOf, ENC, FLAG, KEY, parms, SIG, template, USAGE } from '../scenarios/keys-common.js';
import type { Family, RandomGuest } from './guest.js';
import { HELD, type Held, load, sealedFor, WRAPPED, type Wrapped } from './held.js';
import { endorsementKey } from './lives.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const LABEL = new Uint8Array(20).fill(0x11);
const ZEROS = new Uint8Array(20);
const IDENTITY = template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1));
/** Behind the key: the count and the bytes of the signature. */
const BINDING_BYTES = 260;
/** TPM_SYMMETRIC_KEY: AES-128 in CBC, 16 bytes. */
const SESSION_KEY = concat(
  Uint8Array.of(0, 0, 0, 6, 0, 255),
  word16(16),
  new Uint8Array(16).fill(7),
);
const [EK_BLOB, EK_BLOB_ACTIVATE, ACTIVATE] = [0x0c, 0x2b, 1];

function make(guest: RandomGuest): Wrapped {
  const wrong = { ...IDENTITY, keyFlags: FLAG.MIGRATABLE };
  const info = encode(key11, guest.wrongly() ? wrong : IDENTITY);
  const made = guest.runIn(
    guest.asOwner,
    session => rawCommand('MakeIdentity', 0, guest.hidden(session, KEY), LABEL, info),
    { before: guest.wrongly(8) ? [] : [[guest.srk]] },
  );
  const wrapped = {
    blob: made.slice(0, -BINDING_BYTES),
    usage: USAGE.IDENTITY,
    flags: 0,
    secret: KEY,
    migration: KEY,
    parent: undefined,
  };
  WRAPPED.keep(guest, wrapped);
  return wrapped;
}

/** A loaded identity, made if there is none. */
export function identity(guest: RandomGuest): Held {
  const isOne = (usage: number | undefined): boolean => usage === USAGE.IDENTITY;
  const held = HELD.of(guest).find(({ wrapped }) => isOne(wrapped?.usage));
  if (held !== undefined) return held;
  return load(guest, WRAPPED.of(guest).find(({ usage }) => isOne(usage)) ?? make(guest));
}

/** What a certifier sends: of TPM 1.1, or of 1.2 with PCRs and a locality. */
function activation(guest: RandomGuest, idDigest: Uint8Array): Uint8Array {
  if (guest.chance(2)) return concat(SESSION_KEY, idDigest);
  const pcrs = guest.wrongly()
    ? concat(selection(16), byte(0x1f), LABEL)
    : concat(selection(), byte(guest.wrongly() ? 8 : 0x1f), ZEROS);
  const content = concat(word16(EK_BLOB_ACTIVATE), SESSION_KEY, idDigest, pcrs);
  return concat(word16(EK_BLOB), word16(guest.wrongly() ? 2 : ACTIVATE), counted(content));
}

function activate(guest: RandomGuest): void {
  const held = identity(guest);
  const ek = endorsementKey(guest);
  if (held.wrapped === undefined || ek === undefined) return;
  const idDigest = guest.wrongly() ? LABEL : digestOf(held.wrapped.blob);
  const blob = counted(sealedFor(guest, ek, activation(guest, idDigest)));
  const command = rawCommand('ActivateIdentity', 1, held.handle, blob);
  guest.run(command, [held.secret], [guest.owner]);
}

/** An identity certifies and quotes. */
function speak(guest: RandomGuest): void {
  const { handle, secret } = identity(guest);
  const key = HELD.pick(guest);
  if (key !== undefined && guest.chance(2)) {
    guest.run(rawCommand('CertifyKey', 2, handle, key.handle, LABEL), [secret], [key.secret]);
  } else guest.run(rawCommand('Quote', 1, handle, LABEL, selection(guest.below(24))), [secret]);
}

// biome-ignore format: table
export const IDENTITIES: Family = [
  [1, make],
  [4, activate],
  [1, speak],
];
