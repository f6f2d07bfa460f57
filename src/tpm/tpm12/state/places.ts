/**
 * The places of loaded keys and of sessions, with what each kind has of its own: how many there
 * are, and the fault for a kind that is full.
 * @module
 */
import { type Codec, wipe } from '../../../wire/codec.js';
import { type SlotKind, Slots } from '../../kernel/slots.js';
import { LIMITS } from '../limits.js';
import { TpmFault, type TpmResultName } from '../results.js';
import { keyHandleEntry, type LoadedKey, OWNER_EVICT } from '../structures/key.js';
import { type TransportSession, transportInternal } from '../structures/transport-public.js';
import { type AuthSession, authSession } from './auth-session.js';
import { type DaaSession, daaSession } from './daa-session.js';

type Held<T> = readonly (T | undefined)[];

const faults = (full: TpmResultName) => ({
  full: () => new TpmFault(full),
  taken: () => new TpmFault('BAD_HANDLE'),
  exhausted: () => new TpmFault('FAIL'),
});

/** Items whose handle is in their field `handle`. */
const byHandle = <T extends { handle: number }>(
  codec: Codec<T>,
  count: number,
  full: TpmResultName,
): SlotKind<T> => ({
  count,
  handleOf: ({ handle }) => handle,
  withHandle: (item, handle) => ({ ...item, handle }),
  wipe: item => wipe(codec, item),
  ...faults(full),
});

const AUTH = byHandle<AuthSession>(authSession, LIMITS.authSessions, 'RESOURCES');
const DAA = byHandle<DaaSession>(daaSession, LIMITS.daaSessions, 'RESOURCES');
const TRANSPORT: SlotKind<TransportSession> = {
  count: LIMITS.transportSessions,
  handleOf: ({ transHandle }) => transHandle,
  withHandle: (session, transHandle) => ({ ...session, transHandle }),
  wipe: session => wipe(transportInternal, session),
  ...faults('RESOURCES'),
};
/** Part 2 §4.4.9: handles from the SRK's up stand for one thing each. */
const isReserved = (handle: number): boolean => handle >>> 24 === 0x40;
const KEYS: SlotKind<LoadedKey> = {
  ...byHandle<LoadedKey>(keyHandleEntry, LIMITS.keyHandles, 'NOSPACE'),
  mayHave: handle => !isReserved(handle),
};

export const authSlots = (held?: Held<AuthSession>) => new Slots(AUTH, held);
export const transportSlots = (held?: Held<TransportSession>) => new Slots(TRANSPORT, held);
export const daaSlots = (held?: Held<DaaSession>) => new Slots(DAA, held);
export const keySlots = (held?: Held<LoadedKey>) => new Slots(KEYS, held);

/** Whether the owner keeps a key loaded over power cycles. */
export const isOwnerEvict = ({ keyControl }: LoadedKey): boolean =>
  (keyControl & OWNER_EVICT) !== 0;
