/**
 * Contexts: keys and sessions of every kind that leave the TPM, and come back or do not (TPM Main
 * Part 3, §21, and §27.5 for the commands of TPM 1.1).
 */
import {
  CAP,
  type Command,
  commands,
  ENTITY,
  HANDLE,
  raw,
  type Session,
} from '../../src/guest/index.js';
import { type Family, Kept, type RandomGuest } from './guest.js';
import { anyKey, asKey, HELD, type Held } from './held.js';

const { byte, rawCommand } = raw;
const [KEY, AUTH, TRANSPORT, CONTEXT] = [1, 2, 4, 5];
const READ_EK = commands.ownerReadInternalPub(HANDLE.EK);

/** What left: a session comes back to an entity, if it is bound to one. */
interface Left {
  readonly blob: Uint8Array;
  readonly type: number;
  readonly handle: number;
  readonly entity: number;
  /** What shows that it is back. */
  readonly use?: (guest: RandomGuest) => unknown;
}
/** Contexts outlive what they are of: an old one is refused. */
const CONTEXTS = new Kept<Left>('for good');
const OLD = new Kept<{ blob: Uint8Array; of: 'key' | 'session' }>('for good');
const LABEL_BYTES = 16;

const save = (guest: RandomGuest, handle: number, type: number): Uint8Array =>
  guest.run(
    rawCommand(
      'SaveContext',
      1,
      guest.wrongly(8) ? 0x1234 : handle,
      guest.wrongly(6) ? guest.below(9) : type,
      guest.bytes(LABEL_BYTES),
    ),
  );

function saveKey(guest: RandomGuest): void {
  const { handle } = anyKey(guest);
  CONTEXTS.keep(guest, { blob: save(guest, handle, KEY), type: KEY, handle, entity: 0 });
}

interface Opened {
  readonly session: Session;
  readonly entity: number;
  readonly command: Command<unknown>;
  readonly secret: Uint8Array;
}

/** A session, and what it will be used for. */
function someSession(guest: RandomGuest): Opened {
  const key: Held = HELD.pick(guest) ?? {
    handle: HANDLE.SRK,
    secret: guest.srk,
    wrapped: undefined,
  };
  const getPub = rawCommand('GetPubKey', 1, key.handle);
  const { owner } = guest;
  return guest.pick<() => Opened>([
    () => ({ session: guest.oiap(), entity: 0, command: READ_EK, secret: owner }),
    () => ({ session: guest.osap(...guest.asOwner), entity: 0, command: READ_EK, secret: owner }),
    () => ({
      session: guest.osap(ENTITY.SRK, HANDLE.SRK, guest.srk),
      entity: HANDLE.SRK,
      command: rawCommand('GetPubKey', 1, HANDLE.SRK),
      secret: guest.srk,
    }),
    () => ({
      session: guest.osap(...asKey(key)),
      entity: key.handle,
      command: getPub,
      secret: key.secret,
    }),
  ])();
}

function saveSession(guest: RandomGuest): void {
  const { session, entity, command, secret } = someSession(guest);
  const { handle } = session;
  const use = (again: RandomGuest): unknown => again.run(command, [secret, session]);
  CONTEXTS.keep(guest, { blob: save(guest, handle, AUTH), type: AUTH, handle, entity, use });
}

function bringBack(guest: RandomGuest): void {
  const left = guest.chance(2) ? CONTEXTS.pick(guest) : CONTEXTS.of(guest).at(-1);
  if (left === undefined) return;
  const { blob, type, handle, use } = left;
  const entity = guest.wrongly(6) ? 0x1234 : left.entity;
  // Under its old handle only where that is free: libtpms lets go of a key that has it.
  const keeps = !handlesOf(guest, type).includes(handle) && !guest.chance(4);
  const command = rawCommand('LoadContext', 1, entity, byte(Number(keeps)), bent(guest, blob));
  const back = Buffer.from(guest.run(command)).readUInt32BE();
  if (type !== KEY) CONTEXTS.drop(guest, left);
  if (back === handle) use?.(guest);
  else guest.run(commands.flushSpecific(back, type));
}

/** A byte of a blob changed, now and then; its size, in front, is left alone. */
function bent(guest: RandomGuest, blob: Uint8Array): Uint8Array {
  if (!guest.wrongly()) return blob;
  const changed = blob.slice();
  changed[4 + guest.below(blob.length - 4)]! ^= 2 ** guest.below(8);
  return changed;
}

function handlesOf(guest: RandomGuest, type: number): number[] {
  const listed = Buffer.from(guest.run(commands.getCapability(CAP.HANDLE, type)));
  return Array.from({ length: listed.readUInt16BE() }, (_, at) => listed.readUInt32BE(2 + 4 * at));
}

/** In the way of TPM 1.1 the key goes when it is saved. */
function saveOldKey(guest: RandomGuest): void {
  const held = anyKey(guest);
  const blob = guest.run(rawCommand('SaveKeyContext', 1, held.handle));
  HELD.drop(guest, held);
  OLD.keep(guest, { blob, of: 'key' });
  if (guest.chance(2)) bringBackOld(guest, 'key');
}

function saveOldSession(guest: RandomGuest): void {
  const { session } = someSession(guest);
  const handle = guest.wrongly(6) ? 0x1234 : session.handle;
  OLD.keep(guest, { blob: guest.run(rawCommand('SaveAuthContext', 1, handle)), of: 'session' });
  if (guest.chance(2)) bringBackOld(guest, 'session');
}

function bringBackOld(guest: RandomGuest, of: 'key' | 'session'): void {
  const kept = OLD.of(guest).filter(one => guest.wrongly(8) || one.of === of);
  // The latest is of this power cycle, more often than not.
  const left = guest.chance(3) ? guest.pick(kept) : kept.at(-1);
  if (left === undefined) return;
  const name = of === 'key' ? 'LoadKeyContext' : 'LoadAuthContext';
  const back = Buffer.from(guest.run(rawCommand(name, 0, bent(guest, left.blob)))).readUInt32BE();
  if (of === 'session') OLD.drop(guest, left);
  if (guest.chance(2)) guest.run(commands.flushSpecific(back, of === 'key' ? KEY : AUTH));
}

/** Strikes a context out, so that the session never comes back. */
function flushContext(guest: RandomGuest): void {
  const counts = handlesOf(guest, CONTEXT);
  const count = guest.wrongly() ? guest.below(200) : (guest.pick(counts) ?? 0);
  guest.run(commands.flushSpecific(count, CONTEXT));
}

/** Session after session leaves, until there is no room to remember one more. */
function fillList(guest: RandomGuest): void {
  if (!guest.chance(4)) return;
  const places = 128;
  for (let count = 0; count <= places; count += 1) {
    const { handle } = guest.oiap();
    guest.client.run(rawCommand('SaveContext', 1, handle, AUTH, guest.bytes(LABEL_BYTES)));
  }
}

// biome-ignore format: table
export const CONTEXTS_FAMILY: Family = [
  [5, saveKey],
  [6, saveSession],
  [9, bringBack],
  [3, saveOldKey],
  [4, saveOldSession],
  [5, guest => bringBackOld(guest, 'key')],
  [5, guest => bringBackOld(guest, 'session')],
  [3, flushContext],
  [1, fillList],
];

/** A transport session leaves, like any other. */
export const saveTransport = (guest: RandomGuest, handle: number, use: Left['use']): void => {
  const blob = save(guest, handle, TRANSPORT);
  CONTEXTS.keep(guest, { blob, type: TRANSPORT, handle, entity: 0, ...(use && { use }) });
};
