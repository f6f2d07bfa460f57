/** The keys of a guest: those that it has as blobs, and those that are loaded. */

import { ENTITY, encryptTo, HANDLE, type Key11, type PubKey, raw } from '../../src/guest/index.js';
import { FLAG, KEY, MIGRATION, STORAGE } from '../scenarios/keys-common.js';
import { type Entity, Kept, type RandomGuest } from './guest.js';

/** A key as its parent has wrapped it, and the secrets in it. */
export interface Wrapped {
  readonly blob: Uint8Array;
  readonly usage: number;
  readonly flags: number;
  readonly secret: Uint8Array;
  readonly migration: Uint8Array;
  /** The key that wraps it; undefined: the SRK. */
  readonly parent: Wrapped | undefined;
}

/** A key that is loaded. The SRK has nothing wrapped. */
export interface Held {
  readonly handle: number;
  readonly secret: Uint8Array;
  readonly wrapped: Wrapped | undefined;
}

/** A TPM has 20 places, of which keys of the owner take some. */
const KEYS_MAX = 8;
const WRAPPED_MAX = 30;
const SECRET_BYTES = 256;
export const WRAPPED = new Kept<Wrapped>('until the owner goes');
export const HELD = new Kept<Held>('until the power goes');

export const srk = (guest: RandomGuest): Held => ({
  handle: HANDLE.SRK,
  secret: guest.srk,
  wrapped: undefined,
});

/** A key, as that for which a session is opened. */
export const asKey = ({ handle, secret }: Held): Entity => [ENTITY.KEYHANDLE, handle, secret];

/** A loaded key of the template's usage, made and loaded if there is none; or, wrongly, any. */
export function heldKey(guest: RandomGuest, template: Key11): Held {
  if (guest.wrongly(6)) return anyKey(guest);
  const { keyUsage, keyFlags } = template;
  const fits = HELD.of(guest).filter(
    ({ wrapped }) => wrapped?.usage === keyUsage && wrapped.flags === keyFlags,
  );
  return guest.pick(fits) ?? load(guest, wrappedKey(guest, template));
}

/** A wrapped key of the template's usage under this parent, made if there is none. */
export function wrappedKey(guest: RandomGuest, template: Key11, parent = srk(guest)): Wrapped {
  const fits = WRAPPED.of(guest).filter(
    one =>
      one.usage === template.keyUsage &&
      one.flags === template.keyFlags &&
      one.parent === parent.wrapped,
  );
  return (guest.chance(6) ? undefined : guest.pick(fits)) ?? wrap(guest, template, parent);
}

/** Any loaded key, or the SRK, or now and then what is none. */
export function anyKey(guest: RandomGuest): Held {
  if (guest.wrongly(3)) {
    const handle = guest.pick([HANDLE.EK, HANDLE.OWNER, 0x1234]);
    return { handle, secret: KEY, wrapped: undefined };
  }
  return HELD.pick(guest) ?? srk(guest);
}

/** A loaded key that can be a parent: a storage key that stays here, or the SRK. */
export function aParent(guest: RandomGuest): Held {
  if (guest.wrongly(6)) return anyKey(guest);
  return guest.chance(3) ? heldKey(guest, STORAGE) : srk(guest);
}

/** TPM_CreateWrapKey under a parent. @param info the template as it is sent, if in another form */
export function wrap(
  guest: RandomGuest,
  template: Key11,
  parent = srk(guest),
  info: Key11 | Uint8Array = template,
): Wrapped {
  const { handle } = parent;
  const blob = guest.runIn(asKey(parent), (session, nonceOdd) =>
    raw.createWrapKey(
      handle,
      guest.hidden(session, KEY),
      guest.hidden(session, MIGRATION, nonceOdd),
      info,
    ),
  );
  const { keyUsage: usage, keyFlags: flags } = template;
  const migration = flags & FLAG.MIGRATABLE ? MIGRATION : KEY;
  const wrapped = { blob, usage, flags, secret: KEY, migration, parent: parent.wrapped };
  WRAPPED.keep(guest, wrapped, WRAPPED_MAX);
  return wrapped;
}

/** The loaded key that wraps this one, loaded if need be. */
export function parentOf(guest: RandomGuest, { parent }: Wrapped): Held {
  if (guest.wrongly(6)) return anyKey(guest);
  if (parent === undefined) return srk(guest);
  return HELD.of(guest).find(({ wrapped }) => wrapped === parent) ?? load(guest, parent);
}

/** TPM_LoadKey2, or TPM_LoadKey. The oldest key makes room. */
export function load(
  guest: RandomGuest,
  wrapped: Wrapped,
  parent = parentOf(guest, wrapped),
): Held {
  const oldest = HELD.of(guest)[0];
  if (HELD.of(guest).length >= KEYS_MAX && oldest !== undefined) drop(guest, oldest);
  const command = guest.chance(4)
    ? raw.loadKey(parent.handle, wrapped.blob)
    : raw.loadKey2(parent.handle, wrapped.blob);
  const handle = guest.run(command, [parent.secret]);
  const held = { handle, secret: wrapped.secret, wrapped };
  HELD.keep(guest, held, KEYS_MAX);
  return held;
}

/** TPM_EvictKey, or TPM_FlushSpecific. */
export function drop(guest: RandomGuest, held: Held): void {
  HELD.drop(guest, held);
  const command = guest.chance(2)
    ? raw.rawCommand('EvictKey', 1, held.handle)
    : raw.rawCommand('FlushSpecific', 1, held.handle, 1);
  guest.attempt(() => guest.run(command));
}

/** The encrypted part of a key that a key of 2048 bits wraps. */
export const secretPart = ({ blob }: Wrapped): Uint8Array => blob.slice(-SECRET_BYTES);

/** The same key with another encrypted part, wrapped by another parent or with another secret. */
export const withSecretPart = (
  wrapped: Wrapped,
  part: Uint8Array,
  changes: Partial<Wrapped>,
): Wrapped => ({
  ...wrapped,
  ...changes,
  blob: new Uint8Array(Buffer.concat([wrapped.blob.slice(0, -SECRET_BYTES), part])),
});

/** What is encrypted to a key. To one that is none, or that it does not fit, a guest sends anything. */
export function sealedFor(guest: RandomGuest, key: PubKey, message: Uint8Array): Uint8Array {
  try {
    return encryptTo(key, message);
  } catch (error) {
    if (!/^ERR_(OSSL|CRYPTO)/.test((error as { code?: string }).code ?? '')) throw error;
    return guest.bytes(key.modulus.length || 256);
  }
}
