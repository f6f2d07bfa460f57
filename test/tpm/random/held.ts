/** The keys of a guest: those that it has as blobs, and those that are loaded. */
import { FLAG, KEY, MIGRATION, USAGE } from '../../../scripts/transcripts/keys-common.js';
import { ENTITY, HANDLE, type Key11, raw } from '../../../src/testing/guest/index.js';
import { Kept, type RandomGuest } from './guest.js';

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

const KEYS_MAX = 12;
export const WRAPPED = new Kept<Wrapped>('until the owner goes');
export const HELD = new Kept<Held>('until the power goes');

export const srk = (guest: RandomGuest): Held => ({
  handle: HANDLE.SRK,
  secret: guest.srk,
  wrapped: undefined,
});

/** A loaded key of one of these usages, made and loaded if there is none; or now and then any. */
export function heldKey(guest: RandomGuest, template: Key11, ...usages: readonly number[]): Held {
  if (guest.wrongly(6)) return anyKey(guest);
  const wanted = usages.length === 0 ? [template.keyUsage] : usages;
  const fits = HELD.of(guest).filter(({ wrapped }) => wanted.includes(wrapped?.usage ?? 0));
  return guest.pick(fits) ?? load(guest, wrap(guest, template));
}

/** Any loaded key, or the SRK, or now and then what is none. */
export function anyKey(guest: RandomGuest): Held {
  if (guest.chance(12)) {
    const handle = guest.pick([HANDLE.EK, HANDLE.OWNER, 0x1234]);
    return { handle, secret: KEY, wrapped: undefined };
  }
  return HELD.pick(guest) ?? srk(guest);
}

/** A loaded key that can be a parent: a storage key, or the SRK. */
export function aParent(guest: RandomGuest): Held {
  const storage = HELD.of(guest).filter(({ wrapped }) => wrapped?.usage === USAGE.STORAGE);
  if (guest.wrongly(6)) return anyKey(guest);
  return (guest.chance(3) ? guest.pick(storage) : undefined) ?? srk(guest);
}

/** TPM_CreateWrapKey under a parent, in an OSAP session of its own. */
export function wrap(guest: RandomGuest, template: Key11, parent = srk(guest)): Wrapped {
  const session = guest.osap(ENTITY.KEYHANDLE, parent.handle, parent.secret);
  const nonceOdd = guest.client.nonce();
  const command = raw.createWrapKey(
    parent.handle,
    guest.hidden(session, KEY),
    guest.hidden(session, MIGRATION, nonceOdd),
    template,
  );
  const blob = guest.run(command, [parent.secret, session, nonceOdd]);
  const { keyUsage: usage, keyFlags: flags } = template;
  const secrets = { secret: KEY, migration: flags & FLAG.MIGRATABLE ? MIGRATION : KEY };
  const wrapped = { blob, usage, flags, ...secrets, parent: parent.wrapped };
  WRAPPED.keep(guest, wrapped, 40);
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
  if (HELD.of(guest).length >= KEYS_MAX) drop(guest, HELD.of(guest)[0]!);
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
