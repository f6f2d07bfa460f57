/**
 * Session management (TPM Main Part 3, §21): keys that the owner keeps loaded, and contexts that a
 * resource manager keeps outside of the TPM.
 * @module
 */
import { bool, bytes, type Codec, u8, u32 } from '../../../wire/codec.js';
import type { WantedHandle } from '../../kernel/slots.js';
import { isBound } from '../auth/sessions.js';
import { endTransport } from '../auth/transport-session.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { open, seal } from '../context-seal.js';
import {
  countContext,
  demandEntity,
  demandNonce,
  findSession,
  nonceOf,
  openKey,
  strikeOut,
} from '../contexts.js';
import { findLoaded } from '../keys/loaded.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { authSession } from '../state/auth-session.js';
import { daaSession } from '../state/daa-session.js';
import { isOwnerEvict } from '../state/places.js';
import { restOf, sizedBuffer } from '../structures/codecs.js';
import { type ContextBlob, contextBlob } from '../structures/context-blob.js';
import { hasFlag, KeyUsage, keyHandleEntry, OWNER_EVICT, publicOf } from '../structures/key.js';
import { pubkey, samePubkey } from '../structures/key-parms.js';
import { transportInternal } from '../structures/transport-public.js';
import { Resource } from '../structures/types.js';

interface Left {
  /** The bytes of a context that holds the session of this handle, which ends. */
  readonly save: (call: Call, head: Head) => Uint8Array;
  /** Takes the session of a context back; gives its handle. */
  readonly load: (call: Call, blob: ContextBlob, keep: boolean, entityHandle: number) => number;
}

type Head = { resourceType: number; handle: number; label: Uint8Array };

/** How a kind of session leaves, and comes back. */
const leaving = <T>(kind: {
  readonly codec: Codec<T>;
  readonly find: (state: Call['state'], handle: number) => T | undefined;
  readonly end: (state: Call['state'], handle: number) => void;
  readonly place: (call: Call, session: T, wanted: WantedHandle) => number;
  /** What must be there for the session to come back. */
  readonly check?: (call: Call, session: T, entityHandle: number) => void;
}): Left => ({
  save(call, head) {
    const session = kind.find(call.state, head.handle);
    demand(session !== undefined, 'INVALID_RESOURCE');
    const nonce = nonceOf(call, 'contextNonceSession');
    const blob = { ...head, contextCount: countContext(call, 'if there is room') };
    const sealed = seal(call.state.permanent.data, blob, nonce, kind.codec, session);
    kind.end(call.state, head.handle);
    return sealed;
  },
  load(call, blob, keep, entityHandle) {
    const session = open(call.state.permanent.data, blob, () => kind.codec);
    demandNonce(call, 'contextNonceSession', session.contextNonce);
    kind.check?.(call, session.value, entityHandle);
    session.prove();
    strikeOut(call, blob.contextCount);
    return kind.place(call, session.value, { handle: blob.handle, keep });
  },
});

const SESSIONS: Readonly<Record<number, Left>> = {
  [Resource.AUTH]: leaving({
    codec: authSession,
    find: findSession,
    end: ({ stclear }, handle) => stclear.authSessions.remove(handle),
    place: ({ state, tpm }, session, wanted) =>
      state.stclear.authSessions.add(session, tpm.entropy, wanted).handle,
    check(call, session, entityHandle) {
      if (isBound(session)) demandEntity(call, session, entityHandle);
    },
  }),
  [Resource.TRANS]: leaving({
    codec: transportInternal,
    find: ({ stclear }, handle) => stclear.transSessions.find(handle),
    end: endTransport,
    place: ({ state, tpm }, session, wanted) =>
      state.stclear.transSessions.add(session, tpm.entropy, wanted).transHandle,
  }),
  [Resource.DAA]: leaving({
    codec: daaSession,
    find: ({ stclear }, handle) => stclear.daaSessions.find(handle),
    end: ({ stclear }, handle) => stclear.daaSessions.remove(handle),
    place: ({ state, tpm }, session, wanted) =>
      state.stclear.daaSessions.add(session, tpm.entropy, wanted).handle,
  }),
};

/** Gives a key away as a context, and keeps it; or a session, and lets it go. */
export const saveContext = command({
  ordinal: 'SaveContext',
  auth: 'none',
  when: 'owned',
  handles: { handle: 'resource' },
  input: { resourceType: u32, label: bytes(16) },
  output: { contextBlob: sizedBuffer },
  run(call, head) {
    const { permanent, keys } = call.state;
    if (head.resourceType === Resource.KEY) {
      const key = keys.find(head.handle);
      demand(key !== undefined, 'INVALID_RESOURCE');
      const nonce = nonceOf(call, 'contextNonceKey');
      demand(!isOwnerEvict(key), 'OWNER_CONTROL');
      const blob = { ...head, contextCount: 0 };
      return { contextBlob: seal(permanent.data, blob, nonce, keyHandleEntry, key) };
    }
    const kind = SESSIONS[head.resourceType];
    demand(kind !== undefined, 'INVALID_RESOURCE');
    return { contextBlob: kind.save(call, head) };
  },
});

/** Takes a context back, under its old handle if that is asked for. */
export const loadContext = command({
  ordinal: 'LoadContext',
  auth: 'none',
  when: 'owned',
  handles: { entityHandle: 'entity' },
  input: { keepHandle: bool, contextSize: u32, contextBlob },
  outHandles: { handle: 'entity' },
  run(call, { entityHandle, keepHandle: keep, contextBlob: blob }) {
    if (blob.resourceType === Resource.KEY) {
      const key = openKey(call, blob);
      const fleeting = key.value.parentPCRStatus || hasFlag(key.value.key, 'VOLATILE');
      if (fleeting) demandNonce(call, 'contextNonceKey', key.contextNonce);
      key.prove();
      const wanted = { handle: blob.handle, keep };
      return { handle: call.state.keys.add(key.value, call.tpm.entropy, wanted).handle };
    }
    const kind = SESSIONS[blob.resourceType];
    if (kind === undefined) refuseContext(call, blob);
    return { handle: kind.load(call, blob, keep, entityHandle) };
  },
});

/** A context of another kind is decrypted before it is refused: it may be no context at all. */
function refuseContext({ state }: Call, blob: ContextBlob): never {
  open(state.permanent.data, blob, () => restOf);
  throw new TpmFault('INVALID_RESOURCE');
}

/** Places that keys which the owner keeps must leave to others. */
const FREE_PLACES_MIN = 2;

const OWNERS_USAGES: readonly number[] = [
  KeyUsage.SIGNING,
  KeyUsage.STORAGE,
  KeyUsage.IDENTITY,
  KeyUsage.BIND,
  KeyUsage.LEGACY,
];

/** Lets the owner keep a key loaded over power cycles, or not any more. */
export const keyControlOwner = command({
  ordinal: 'KeyControlOwner',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 31 },
  handles: { keyHandle: 'key' },
  input: { pubKey: pubkey, bitName: u32, bitValue: u8 },
  run(call, { keyHandle, pubKey, bitName, bitValue }) {
    call.authoriseOwner();
    const entry = findLoaded(call.state.keys, keyHandle);
    demand(OWNERS_USAGES.includes(entry.key.keyUsage), 'INVALID_KEYUSAGE');
    demand(samePubkey(publicOf(entry.key), pubKey), 'BAD_PARAMETER');
    if (bitName !== OWNER_EVICT) throw new TpmFault('BAD_MODE');
    if ((bitValue !== 0) === isOwnerEvict(entry)) return {};
    if (bitValue !== 0) {
      const kept = call.state.keys.all.filter(isOwnerEvict).length;
      demand(LIMITS.keyHandles - kept >= FREE_PLACES_MIN, 'NOSPACE');
      demand(!entry.parentPCRStatus && !hasFlag(entry.key, 'VOLATILE'), 'BAD_PARAMETER');
      demand(kept < LIMITS.ownerEvictKeys, 'NOSPACE');
    }
    entry.keyControl = (entry.keyControl ^ OWNER_EVICT) >>> 0;
    call.altered = true;
    return {};
  },
});
