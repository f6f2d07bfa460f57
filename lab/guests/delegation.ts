/**
 * Delegation: families, the blobs and rows of what the owner or a key delegates, the sessions that
 * they open, and the owner's secret standing for a row (TPM Main Part 3, §18.3, §18.4, §19).
 */

import { type Command, commands, HANDLE, osapShared, raw } from '../../src/guest/index.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';
import { SIGNING_DER } from '../scenarios/keys-common.js';
import { type BoundSession, type Family, Kept, type RandomGuest } from './guest.js';
import { anyKey, asKey, type Held, heldKey } from './held.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const n4 = (value: number): Uint8Array => encode(u32, value);

/** The secret of everything that is delegated. */
const SECRET = new Uint8Array(20).fill(0x64);
const CREATE = 1;
const [ENABLE, LOCK, END] = [2, 3, 4];
const [FOR_OWNER, FOR_KEY] = [1, 2];
const [ALL, ALL_OF_KEYS] = [0xffff_ffff, 0x1fff_ffff];
/** Entity types of TPM_DSAP. */
const [OWNER_BLOB, ROW, KEY_BLOB] = [7, 8, 9];
const ROWS = 4;
const FAMILIES_MAX = 16;

/** A delegation as a blob; `key` is undefined where it is the owner's. */
interface Delegation {
  readonly blob: Uint8Array;
  readonly key: Held | undefined;
}
const KNOWN = new Kept<number>('until the owner goes');
const BLOBS = new Kept<Delegation>('until the owner goes');
const LOADED = new Kept<number>('until the owner goes');

const manage = (family: number, operation: number, data: Uint8Array) =>
  rawCommand('Delegate_Manage', 0, family, operation, counted(data));

/** A family, made and enabled if there is none. */
function family(guest: RandomGuest): number {
  if (guest.wrongly(6)) return guest.below(FAMILIES_MAX);
  return KNOWN.pick(guest) ?? create(guest);
}

function create(guest: RandomGuest): number {
  const made = guest.run(manage(0, CREATE, byte(guest.below(256))), [guest.owner]);
  const id = Buffer.from(made).readUInt32BE(4);
  KNOWN.keep(guest, id, FAMILIES_MAX);
  enable(guest, id, true);
  return id;
}

const enable = (guest: RandomGuest, id: number, enabled: boolean): unknown =>
  guest.run(manage(id, ENABLE, byte(Number(enabled))), [guest.owner]);

/** A family is disabled, locked or ended; most of the time not for long. */
function manageOne(guest: RandomGuest): void {
  const id = family(guest);
  const operation = guest.wrongly()
    ? guest.below(6)
    : guest.pick([ENABLE, ENABLE, LOCK, LOCK, END]);
  const data = operation === END ? guest.bytes(0) : byte(guest.below(2));
  guest.run(manage(id, operation, guest.wrongly() ? word16(1) : data), [guest.owner]);
  if (operation === END) KNOWN.drop(guest, id);
  else if (guest.chance(2)) {
    guest.run(manage(id, operation, byte(Number(operation === ENABLE))), [guest.owner]);
  }
}

/** A TPM_DELEGATE_PUBLIC: for everything or little, here or elsewhere. */
function publicInfo(guest: RandomGuest, kind: number): Uint8Array {
  const all = kind === FOR_OWNER ? ALL : ALL_OF_KEYS;
  const per1 = guest.chance(3) ? guest.below(2 ** 16) * 2 ** 13 + guest.below(2 ** 13) : all;
  const per2 = guest.wrongly(8) ? 1 : 0;
  const type = guest.wrongly(8) ? guest.below(4) : kind;
  const localities = guest.chance(8) ? 8 : 0x1f;
  const pcrs = guest.chance(8) ? selection(16) : selection();
  const here = concat(pcrs, byte(localities), new Uint8Array(20));
  const permissions = concat(word16(0x1a), n4(type), n4(Math.min(per1, all)), n4(per2));
  const row = concat(word16(0x1b), byte(guest.below(256)), here, permissions);
  return concat(row, n4(family(guest)), n4(guest.below(3)));
}

function delegateOwner(guest: RandomGuest): Delegation {
  const increment = byte(Number(guest.chance(6)));
  const info = publicInfo(guest, FOR_OWNER);
  const made = guest.runIn(guest.asOwner, session =>
    rawCommand('Delegate_CreateOwnerDelegation', 0, increment, info, guest.hidden(session, SECRET)),
  );
  const delegation = { blob: made.slice(4), key: undefined };
  BLOBS.keep(guest, delegation);
  return delegation;
}

function delegateKey(guest: RandomGuest): Delegation {
  const key = guest.chance(2) ? anyKey(guest) : heldKey(guest, SIGNING_DER);
  const info = publicInfo(guest, FOR_KEY);
  const made = guest.runIn(asKey(key), session =>
    rawCommand('Delegate_CreateKeyDelegation', 1, key.handle, info, guest.hidden(session, SECRET)),
  );
  const delegation = { blob: made.slice(4), key };
  BLOBS.keep(guest, delegation);
  return delegation;
}

/** A blob of one kind, made if there is none; wrongly it is bent, or of the other kind. */
function someBlob(guest: RandomGuest, kind: 'owner' | 'key' | 'any'): Delegation {
  const fits = BLOBS.of(guest).filter(
    ({ key }) => kind === 'any' || (key === undefined) === (kind === 'owner'),
  );
  const found = guest.wrongly(6) ? BLOBS.pick(guest) : guest.pick(fits);
  return found ?? (kind === 'key' ? delegateKey(guest) : delegateOwner(guest));
}

function loadRow(guest: RandomGuest): void {
  const { blob } = someBlob(guest, 'owner');
  const row = guest.wrongly(6) ? guest.below(8) : guest.below(ROWS);
  const size = guest.wrongly(8) ? blob.length - 1 : blob.length;
  guest.run(rawCommand('Delegate_LoadOwnerDelegation', 0, row, size, blob), [guest.owner]);
  if (!LOADED.of(guest).includes(row)) LOADED.keep(guest, row, ROWS);
}

function verify(guest: RandomGuest): void {
  const { blob } = someBlob(guest, 'any');
  guest.run(rawCommand('Delegate_VerifyDelegation', 0, counted(blob)));
}

/** What its family was verified anew since is good again; a blob, or a row. */
function update(guest: RandomGuest): void {
  const row = LOADED.pick(guest);
  if (guest.chance(3) && row !== undefined) {
    guest.run(rawCommand('Delegate_UpdateVerification', 0, counted(n4(row))), [guest.owner]);
    return;
  }
  const delegation = someBlob(guest, 'any');
  const command = rawCommand('Delegate_UpdateVerification', 0, counted(delegation.blob));
  const updated = guest.run(command, [guest.owner]).slice(4);
  if (updated.length > 0) BLOBS.keep(guest, { ...delegation, blob: updated });
}

/** Opens a session by a delegation. */
function dsap(guest: RandomGuest, type: number, key: number, value: Uint8Array): BoundSession {
  const nonceOdd = guest.client.nonce();
  const scheme = guest.chance(4) ? 'AES' : 'XOR';
  // libtpms follows a stray pointer where a blob opens a session of the AES scheme.
  const aes = scheme === 'AES' && type === ROW;
  const entity = word16(aes ? 0x0600 + type : type);
  const opened = guest.run(rawCommand('DSAP', 0, entity, key, nonceOdd, counted(value)));
  return {
    handle: Buffer.from(opened).readUInt32BE(),
    nonceEven: opened.slice(4, 24),
    shared: osapShared(SECRET, opened.slice(24, 44), nonceOdd),
    scheme: aes ? 'AES' : 'XOR',
  };
}

/** Does what is the owner's, by a delegation. */
function actAsOwner(guest: RandomGuest): void {
  const row = LOADED.pick(guest);
  const session =
    guest.chance(2) && row !== undefined
      ? dsap(guest, ROW, 0, n4(guest.wrongly(6) ? guest.below(8) : row))
      : dsap(guest, OWNER_BLOB, 0, someBlob(guest, 'owner').blob);
  guest.run(ownersCommand(guest, session), [SECRET, session]);
}

/** What a delegation may, and two things that it may not. */
function ownersCommand(guest: RandomGuest, session: BoundSession): Command<unknown> {
  const hidden = guest.hidden(session, SECRET);
  const delegation = publicInfo(guest, FOR_OWNER);
  return guest.pick<Command<unknown>>([
    commands.ownerReadInternalPub(guest.pick([HANDLE.EK, HANDLE.SRK])),
    rawCommand('OwnerReadPubek', 0),
    rawCommand('DirWriteAuth', 0, 0, guest.bytes(20)),
    rawCommand('CMK_ApproveMA', 0, guest.bytes(20)),
    rawCommand('ResetLockValue', 0),
    rawCommand('SetOrdinalAuditStatus', 0, 0x14, byte(guest.below(2))),
    rawCommand('Delegate_CreateOwnerDelegation', 0, byte(0), delegation, hidden),
    manage(family(guest), guest.pick([CREATE, ENABLE]), byte(1)),
    rawCommand('CreateCounter', 0, hidden, guest.bytes(4)),
    rawCommand('ChangeAuthOwner', 0, word16(4), hidden, word16(2)),
    commands.getCapabilityOwner(),
  ]);
}

/** Uses a key by a delegation; wrongly another one. */
function actWithKey(guest: RandomGuest): void {
  const { blob, key = anyKey(guest) } = someBlob(guest, 'key');
  const session = dsap(guest, KEY_BLOB, key.handle, blob);
  const { handle } = guest.wrongly(6) ? anyKey(guest) : key;
  const data = guest.bytes(20);
  const command = guest.pick<Command<unknown>>([
    rawCommand('Sign', 1, handle, counted(data)),
    rawCommand('GetPubKey', 1, handle),
    rawCommand('Quote', 1, handle, data, selection(guest.below(24))),
    rawCommand('UnBind', 1, handle, counted(data)),
    rawCommand(
      'Delegate_CreateKeyDelegation',
      1,
      handle,
      publicInfo(guest, FOR_KEY),
      guest.hidden(session, SECRET),
    ),
  ]);
  guest.run(command, [SECRET, session]);
}

/** Has a row stand for the owner, does something as that, and turns back. */
function pointToRow(guest: RandomGuest): void {
  const point = (type: number, value: number): unknown =>
    guest.run(rawCommand('SetOwnerPointer', 0, word16(type), value));
  const row = LOADED.pick(guest) ?? guest.below(ROWS);
  try {
    point(guest.wrongly() ? guest.below(12) : ROW, row);
    const command = guest.pick<Command<unknown>>([
      commands.ownerReadInternalPub(HANDLE.EK),
      rawCommand('OwnerReadPubek', 0),
      rawCommand('ResetLockValue', 0),
      commands.getCapabilityOwner(),
    ]);
    if (guest.chance(2)) guest.run(command, [SECRET]);
    else guest.runIn([2, HANDLE.OWNER, SECRET], () => command);
  } finally {
    point(2, HANDLE.OWNER);
  }
}

// biome-ignore format: table
export const DELEGATION: Family = [
  [2, create],
  [3, manageOne],
  [4, delegateOwner],
  [4, delegateKey],
  [4, loadRow],
  [3, verify],
  [4, update],
  [6, actAsOwner],
  [5, actWithKey],
  [3, pointToRow],
  [3, guest => guest.run(rawCommand('Delegate_ReadTable', 0))],
];
