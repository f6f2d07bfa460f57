/** Secrets that change: of keys and of sealed data, of the owner and of the SRK. */

import { ENTITY, HANDLE, keyParms, raw } from '../../src/guest/index.js';
import { hmac } from '../../src/guest/sessions.js';
import { concat, encode } from '../../src/wire/codec.js';
import { ENC, parms, publicOf, SIG, SIGNING_DER, STORAGE } from '../scenarios/keys-common.js';
import type { Family, RandomGuest } from './guest.js';
import {
  asKey,
  heldKey,
  parentOf,
  sealedFor,
  secretPart,
  srk,
  WRAPPED,
  withSecretPart,
  wrappedKey,
} from './held.js';
import { identity } from './identity.js';
import { SEALED } from './storage.js';

const { counted, rawCommand, word16 } = raw;
const ADCP = word16(4);
const NONCE = new Uint8Array(20).fill(0x11);
const EPHEMERAL_BITS = 1024;
/** A TPM_KEY of that size without a secret part, as it stands at the end of the response. */
const EPHEMERAL_BYTES = 4 + 2 + 4 + 1 + 12 + 12 + 4 + 4 + EPHEMERAL_BITS / 8 + 4;

function changeKey(guest: RandomGuest): void {
  const wrapped = WRAPPED.pick(guest) ?? wrappedKey(guest, SIGNING_DER);
  const parent = parentOf(guest, wrapped);
  const secret = guest.bytes(20);
  const part = guest.runIn(
    asKey(parent),
    session =>
      rawCommand(
        'ChangeAuth',
        1,
        parent.handle,
        ADCP,
        guest.hidden(session, secret),
        word16(guest.wrongly() ? ENTITY.DATA : ENTITY.KEY),
        counted(secretPart(wrapped)),
      ),
    { after: [[wrapped.secret]] },
  );
  WRAPPED.keep(guest, withSecretPart(wrapped, part.slice(4), { secret }));
}

function changeData(guest: RandomGuest): void {
  const sealed = SEALED.pick(guest);
  if (sealed === undefined) return;
  const { by } = sealed;
  const secret = guest.bytes(20);
  const encData = sealed.blob.slice(-256);
  const part = guest.runIn(
    asKey(by),
    session =>
      rawCommand(
        'ChangeAuth',
        1,
        by.handle,
        ADCP,
        guest.hidden(session, secret),
        word16(ENTITY.DATA),
        counted(encData),
      ),
    { after: [[sealed.secret]] },
  );
  const blob = concat(sealed.blob.slice(0, -256), part.slice(4));
  SEALED.keep(guest, { ...sealed, blob, secret });
}

function changeOwner(guest: RandomGuest): void {
  const secret = guest.bytes(20);
  const type = guest.wrongly() ? ENTITY.KEY : guest.pick([ENTITY.OWNER, ENTITY.SRK]);
  guest.runIn(guest.asOwner, session =>
    rawCommand('ChangeAuthOwner', 0, ADCP, guest.hidden(session, secret), word16(type)),
  );
  if (type === ENTITY.OWNER) guest.owner = secret;
  if (type === ENTITY.SRK) guest.srk = secret;
}

/** Through a key of the moment, that an identity vouches for. */
function changeAsym(guest: RandomGuest): void {
  const id = guest.wrongly() ? heldKey(guest, SIGNING_DER) : identity(guest);
  const kind = encode(keyParms, parms(ENC.OAEP, SIG.NONE, EPHEMERAL_BITS));
  const start = rawCommand('ChangeAuthAsymStart', 1, id.handle, NONCE, kind);
  const started = guest.run(start, [id.secret]);
  const ephemeral = Buffer.from(started).readUInt32BE(started.length - EPHEMERAL_BYTES - 4);
  const key = publicOf(started.slice(-EPHEMERAL_BYTES));
  const underSrk = guest.chance(2);
  const parent = underSrk ? srk(guest) : heldKey(guest, STORAGE);
  const wrapped = wrappedKey(guest, SIGNING_DER, parent);
  const secret = guest.bytes(20);
  const finish = rawCommand(
    'ChangeAuthAsymFinish',
    2,
    parent.handle,
    ephemeral,
    word16(guest.wrongly() ? ENTITY.OWNER : ENTITY.KEY),
    guest.wrongly() ? NONCE : hmac(wrapped.secret, secret),
    counted(sealedFor(guest, key, concat(secret, NONCE))),
    counted(secretPart(wrapped)),
  );
  const done = guest.attempt(() =>
    guest.run(finish, [parent.handle === HANDLE.SRK ? guest.owner : parent.secret]),
  );
  if (done === undefined) guest.run(rawCommand('FlushSpecific', 1, ephemeral, 1));
  else WRAPPED.keep(guest, withSecretPart(wrapped, done.slice(4, 260), { secret }));
}

// biome-ignore format: table
export const SECRETS: Family = [
  [3, changeKey],
  [2, changeData],
  [5, changeOwner],
  [4, changeAsym],
];
