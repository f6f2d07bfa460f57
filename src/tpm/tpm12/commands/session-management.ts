/**
 * Context management (TPM Main Part 3, §21, and §27.5 for the commands of TPM 1.1): keys and
 * sessions that a resource manager keeps outside of the TPM.
 * @module
 */
import { bool, bytes, type Codec, struct, u32 } from '../../../wire/codec.js';
import { sameSecret } from '../../crypto/rsa.js';
import type { WantedHandle } from '../auth/handles.js';
import { EntityType, placeSession, terminate } from '../auth/sessions.js';
import { endTransport, placeTransport } from '../auth/transport-auth.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { addKey, findLoaded, isOwnerEvict } from '../keys/loaded.js';
import { nvDigest } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import { daaSession, endDaa, placeDaa } from '../state/daa-session.js';
import { type AuthSession, authSession, Handle, Protocol } from '../state/state.js';
import { noBytes20, restOf, sizedBuffer } from '../structures/basic.js';
import { type ContextBlob, contextBlob, open, seal } from '../structures/context-blob.js';
import { hasFlag, isRsaPart, keyHandleEntry } from '../structures/key.js';
import { transportInternal } from '../structures/transport-public.js';
import { Resource } from './authorisation.js';
import { entityOfCounter } from './counters.js';

const NO_LABEL = new Uint8Array(16);
const COUNT_MAX = 0xffff_fffe;

/** The nonce of all contexts of a kind since the last start; drawn when the first one leaves. */
function nonceOf({ tpm, state }: Call, kind: 'contextNonceKey' | 'contextNonceSession') {
  if (state.stclear[kind].every(byte => byte === 0)) state.stclear[kind] = tpm.entropy(20);
  return state.stclear[kind];
}

/** Notes that a session left, under a count that it must come back with. */
function countContext({ state: { stclear } }: Call, counts: 'if there is room' | 'always'): number {
  demand(stclear.contextCount <= COUNT_MAX, 'TOOMANYCONTEXTS');
  const place = stclear.contextList.indexOf(0);
  if (counts === 'if there is room') demand(place >= 0, 'NOCONTEXTSPACE');
  stclear.contextCount += 1;
  demand(place >= 0, 'NOCONTEXTSPACE');
  stclear.contextList[place] = stclear.contextCount;
  return stclear.contextCount;
}

/** Strikes a session out that comes back. It comes back once. */
function strikeOut({ state: { stclear } }: Call, count: number): void {
  const place = count === 0 ? -1 : stclear.contextList.indexOf(count);
  demand(place >= 0, 'BADCONTEXT');
  stclear.contextList[place] = 0;
}

function findSession({ stclear }: Call['state'], handle: number): AuthSession | undefined {
  return stclear.authSessions.find(session => session?.handle === handle);
}

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
    end: ({ stclear }, handle) => terminate(stclear.authSessions, handle),
    place: ({ state, tpm }, session, wanted) =>
      placeSession(state.stclear.authSessions, session, tpm.entropy, wanted),
    check(call, session, entityHandle) {
      if (isBound(session)) demandEntity(call, session, entityHandle);
    },
  }),
  [Resource.TRANS]: leaving({
    codec: transportInternal,
    find: ({ stclear }, handle) => stclear.transSessions.find(one => one?.transHandle === handle),
    end: endTransport,
    place: ({ state, tpm }, session, wanted) => placeTransport(state, session, tpm.entropy, wanted),
  }),
  [Resource.DAA]: leaving({
    codec: daaSession,
    find: ({ stclear }, handle) => stclear.daaSessions.find(one => one?.handle === handle),
    end: ({ stclear }, handle) => endDaa(stclear.daaSessions, handle),
    place: ({ state, tpm }, session, wanted) =>
      placeDaa(state.stclear.daaSessions, session, tpm.entropy, wanted),
  }),
};

/** Gives a key away as a context, and keeps it; or a session, and lets it go. */
export const saveContext = command({
  ordinal: 0xb8,
  name: 'TPM_SaveContext',
  auth: 'none',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ handle: u32, resourceType: u32, label: bytes(16) }),
  output: struct({ contextBlob: sizedBuffer }),
  run(call, head) {
    const { permanent, keys } = call.state;
    if (head.resourceType === Resource.KEY) {
      const key = keys.find(entry => entry?.handle === head.handle);
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

const loaded = struct({ handle: u32 });

/** Takes a context back, under its old handle if that is asked for. */
export const loadContext = command({
  ordinal: 0xb9,
  name: 'TPM_LoadContext',
  auth: 'none',
  when: 'owned',
  handleBytes: { input: 4, output: 4 },
  input: struct({ entityHandle: u32, keepHandle: bool, contextSize: u32, contextBlob }),
  output: loaded,
  run(call, { entityHandle, keepHandle: keep, contextBlob: blob }) {
    if (blob.resourceType === Resource.KEY) {
      const key = openKey(call, blob);
      const fleeting = key.value.parentPCRStatus || hasFlag(key.value.key, 'VOLATILE');
      if (fleeting) demandNonce(call, 'contextNonceKey', key.contextNonce);
      key.prove();
      const wanted = { handle: blob.handle, keep };
      return { handle: addKey(call.state.keys, key.value, call.tpm.entropy, wanted) };
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

/** A key out of its context, whose numbers must make a key before anything is proven. */
function openKey(call: Call, blob: ContextBlob) {
  const key = open(call.state.permanent.data, blob, () => keyHandleEntry);
  demand(isRsaPart(key.value.key), 'BAD_PARAMETER');
  return key;
}

function demandNonce(
  { state: { stclear } }: Call,
  kind: 'contextNonceKey' | 'contextNonceSession',
  found: Uint8Array,
): void {
  demand(sameSecret(stclear[kind], found), 'BADCONTEXT');
}

const isBound = ({ protocol }: AuthSession): boolean =>
  protocol === Protocol.OSAP || protocol === Protocol.DSAP;

/** The entity of a session must be there: the guest tells which one it is now. */
function demandEntity(call: Call, session: AuthSession, handle: number): void {
  const digest = entityDigest(call, session.entityType, handle);
  demand(sameSecret(digest, session.entityDigest), 'RESOURCEMISSING');
}

function entityDigest({ state }: Call, entityType: number, handle: number): Uint8Array {
  const { data, nv } = state.permanent;
  switch (entityType) {
    case EntityType.KEYHANDLE: {
      if (handle === Handle.SRK) return srkDigest(data.ownerInstalled, data.srk, 'NOSRK');
      const found = state.keys.find(entry => entry?.handle === handle);
      demand(found !== undefined, 'BAD_HANDLE');
      return found.key.secret!.pubDataDigest;
    }
    case EntityType.OWNER:
      demand(data.ownerInstalled, 'RESOURCEMISSING');
      return data.ownerAuth;
    case EntityType.SRK:
      return srkDigest(data.ownerInstalled, data.srk, 'RESOURCEMISSING');
    case EntityType.COUNTER: {
      const counter = data.counters[handle];
      demand(counter?.valid === true, 'RESOURCEMISSING');
      return entityOfCounter(handle, counter).digest;
    }
    case EntityType.NV: {
      const entry = nv.find(one => one?.publicInfo.nvIndex === handle);
      demand(entry !== undefined, 'RESOURCEMISSING');
      return nvDigest(entry);
    }
    default:
      throw new TpmFault('WRONG_ENTITYTYPE');
  }
}

function srkDigest(
  ownerInstalled: boolean,
  srk: Call['state']['permanent']['data']['srk'],
  otherwise: 'NOSRK' | 'RESOURCEMISSING',
): Uint8Array {
  demand(ownerInstalled, otherwise);
  return srk.secret!.pubDataDigest;
}

/** Gives a key away as a context, and lets it go. */
export const saveKeyContext = command({
  ordinal: 0xb4,
  name: 'TPM_SaveKeyContext',
  auth: 'none',
  when: 'operational',
  handleBytes: { input: 4, output: 0 },
  input: struct({ keyHandle: u32 }),
  output: struct({ keyContextBlob: sizedBuffer }),
  run(call, { keyHandle: handle }) {
    const { permanent, keys } = call.state;
    const key = findLoaded(keys, handle);
    const nonce = nonceOf(call, 'contextNonceKey');
    const head = { resourceType: Resource.KEY, handle, label: NO_LABEL, contextCount: 0 };
    const blob = seal(permanent.data, head, nonce, keyHandleEntry, key);
    keys[keys.indexOf(key)] = undefined;
    return { keyContextBlob: blob };
  },
});

const contextInput = struct({ contextSize: u32, contextBlob });

/** Takes a key back, under its old handle if that is free. */
export const loadKeyContext = command({
  ordinal: 0xb5,
  name: 'TPM_LoadKeyContext',
  auth: 'none',
  when: 'operational',
  handleBytes: { input: 0, output: 4 },
  input: contextInput,
  output: loaded,
  run(call, { contextBlob: blob }) {
    demand(blob.resourceType === Resource.KEY, 'BAD_PARAMETER');
    const { keys } = call.state;
    const key = openKey(call, blob);
    demandNonce(call, 'contextNonceKey', key.contextNonce);
    key.prove();
    demand(keys.includes(undefined), 'RESOURCES');
    const wanted = { handle: blob.handle, keep: false };
    return { handle: addKey(keys, key.value, call.tpm.entropy, wanted) };
  },
});

/** Gives a session away as a context, and lets it go. */
export const saveAuthContext = command({
  ordinal: 0xb6,
  name: 'TPM_SaveAuthContext',
  auth: 'none',
  when: 'operational',
  handleBytes: { input: 4, output: 0 },
  input: struct({ authHandle: u32 }),
  output: struct({ authContextBlob: sizedBuffer }),
  run(call, { authHandle: handle }) {
    const { permanent, stclear } = call.state;
    const session = findSession(call.state, handle);
    demand(session !== undefined, 'INVALID_AUTHHANDLE');
    const nonce = nonceOf(call, 'contextNonceSession');
    const contextCount = countContext(call, 'always');
    const head = { resourceType: Resource.AUTH, handle, label: NO_LABEL, contextCount };
    const blob = seal(permanent.data, head, nonce, authSession, session);
    terminate(stclear.authSessions, handle);
    return { authContextBlob: blob };
  },
});

/** Takes a session back, under its old handle if that is free. */
export const loadAuthContext = command({
  ordinal: 0xb7,
  name: 'TPM_LoadAuthContext',
  auth: 'none',
  when: 'operational',
  handleBytes: { input: 0, output: 4 },
  input: contextInput,
  output: loaded,
  run(call, { contextBlob: blob }) {
    demand(blob.resourceType === Resource.AUTH, 'BAD_PARAMETER');
    const { permanent, stclear } = call.state;
    const session = open(permanent.data, blob, () => authSession);
    demandNonce(call, 'contextNonceSession', session.contextNonce);
    if (isBound(session.value)) demandEntityLoaded(call, session.value);
    session.prove();
    demand(stclear.authSessions.includes(undefined), 'RESOURCES');
    strikeOut(call, blob.contextCount);
    const wanted = { handle: blob.handle, keep: false };
    const { entropy } = call.tpm;
    return { handle: placeSession(stclear.authSessions, session.value, entropy, wanted) };
  },
});

/** The entity of a session must be there, whatever handle it has; counters and NV are not asked. */
function demandEntityLoaded(call: Call, session: AuthSession): void {
  const { keys, permanent } = call.state;
  const { entityType } = session;
  if (entityType === EntityType.COUNTER || entityType === EntityType.NV) return;
  if (entityType !== EntityType.KEYHANDLE) {
    demandEntity(call, session, 0);
    return;
  }
  const { ownerInstalled, srk } = permanent.data;
  const digests = [
    ...keys.map(entry => entry?.key.secret?.pubDataDigest),
    ownerInstalled ? srk.secret?.pubDataDigest : undefined,
  ];
  const there = digests.some(one => sameSecret(one ?? noBytes20(), session.entityDigest));
  demand(there, 'RESOURCEMISSING');
}
