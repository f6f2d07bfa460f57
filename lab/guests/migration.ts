/** Keys that migrate: to another key of this TPM, by a blob or at once, or past an authority. */

import { HANDLE, pubKey, raw } from '../../src/guest/index.js';
import { encode } from '../../src/wire/codec.js';
import {
  ENC,
  FLAG,
  parms,
  publicOf,
  SIG,
  SIGNING_DER,
  STORAGE,
  template,
  USAGE,
} from '../scenarios/keys-common.js';
import type { Family, RandomGuest } from './guest.js';
import {
  type Held,
  heldKey,
  load,
  sealedFor,
  secretPart,
  srk,
  withSecretPart,
  wrappedKey,
} from './held.js';

const { counted, rawCommand, word16 } = raw;
const MIGRATE = 1;
const REWRAP = 2;
const MOVING = { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE };
const AUTHORITY = template(USAGE.MIGRATE, parms(ENC.OAEP, SIG.NONE));

/** The public key of a key that was loaded from a blob. */
export const publicKeyOf = ({ wrapped }: Held): Uint8Array =>
  wrapped === undefined ? new Uint8Array() : encode(pubKey, publicOf(wrapped.blob));

/** The owner's leave to migrate to a key. */
export const authorize = (guest: RandomGuest, scheme: number, to: Held): Uint8Array =>
  guest.run(rawCommand('AuthorizeMigrationKey', 0, word16(scheme), publicKeyOf(to)), [guest.owner]);

/** Splits a response of two buffers. */
export function twoBuffers(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  const length = Buffer.from(bytes).readUInt32BE();
  return [bytes.slice(4, 4 + length), bytes.slice(8 + length)];
}

function migrate(guest: RandomGuest): void {
  const to = heldKey(guest, STORAGE);
  const moving = wrappedKey(guest, guest.wrongly() ? SIGNING_DER : MOVING);
  const type = guest.pick([MIGRATE, MIGRATE, REWRAP]);
  const leave = authorize(guest, guest.wrongly() ? MIGRATE : type, to);
  const create = rawCommand(
    'CreateMigrationBlob',
    1,
    HANDLE.SRK,
    word16(type),
    leave,
    counted(secretPart(moving)),
  );
  const made = guest.run(create, [srk(guest).secret], [moving.migration]);
  const [random, data] = twoBuffers(made);
  const part = type === REWRAP ? data : convert(guest, to, data, random);
  load(guest, withSecretPart(moving, part, { parent: to.wrapped }), to);
}

function convert(guest: RandomGuest, to: Held, data: Uint8Array, random: Uint8Array): Uint8Array {
  const [given, used] = guest.wrongly() ? [random, data] : [data, random];
  const command = rawCommand('ConvertMigrationBlob', 1, to.handle, counted(given), counted(used));
  return guest.run(command, [to.secret]).slice(4);
}

/** An authority passes on what came for it. */
function passOn(guest: RandomGuest): void {
  const authority = heldKey(guest, AUTHORITY);
  const to = heldKey(guest, STORAGE);
  if (authority.wrapped === undefined) return;
  const forIt = sealedFor(guest, publicOf(authority.wrapped.blob), guest.bytes(40));
  const command = rawCommand(
    'MigrateKey',
    1,
    authority.handle,
    publicKeyOf(to),
    counted(guest.wrongly() ? new Uint8Array(256).fill(1) : forIt),
  );
  guest.run(command, [authority.secret]);
}

// biome-ignore format: table
export const MIGRATION: Family = [
  [6, migrate],
  [4, passOn],
];
