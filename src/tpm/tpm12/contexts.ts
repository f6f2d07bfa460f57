/**
 * What every context command needs: nonces, the list of saved sessions, and the entity that a session is bound to.
 * @module
 */
import { sameSecret } from '../crypto/secrets.js';
import type { Call } from './call.js';
import { open } from './context-seal.js';
import { findSrk } from './keys/loaded.js';
import { isRsaPart } from './keys/numbers.js';
import { entityOfCounter } from './monotonic.js';
import { nvDigest } from './nv-area.js';
import { demand, TpmFault } from './results.js';
import type { AuthSession } from './state/auth-session.js';
import type { ContextBlob } from './structures/context-blob.js';
import { keyHandleEntry } from './structures/key.js';
import { EntityType, Handle } from './structures/types.js';

export const NO_LABEL = new Uint8Array(16);

const COUNT_MAX = 0xffff_fffe;

/** The nonce of all contexts of a kind since the last start; drawn when the first one leaves. */
export function nonceOf({ tpm, state }: Call, kind: 'contextNonceKey' | 'contextNonceSession') {
  if (state.stclear[kind].every(byte => byte === 0)) state.stclear[kind] = tpm.entropy(20);
  return state.stclear[kind];
}

/** Notes that a session left, under a count that it must come back with. */
export function countContext(
  { state: { stclear } }: Call,
  counts: 'if there is room' | 'always',
): number {
  demand(stclear.contextCount <= COUNT_MAX, 'TOOMANYCONTEXTS');
  const place = stclear.contextList.indexOf(0);
  if (counts === 'if there is room') demand(place >= 0, 'NOCONTEXTSPACE');
  stclear.contextCount += 1;
  demand(place >= 0, 'NOCONTEXTSPACE');
  stclear.contextList[place] = stclear.contextCount;
  return stclear.contextCount;
}

/** Strikes a session out that comes back. It comes back once. */
export function strikeOut({ state: { stclear } }: Call, count: number): void {
  const place = count === 0 ? -1 : stclear.contextList.indexOf(count);
  demand(place >= 0, 'BADCONTEXT');
  stclear.contextList[place] = 0;
}

export function findSession({ stclear }: Call['state'], handle: number): AuthSession | undefined {
  return stclear.authSessions.find(handle);
}

export function demandNonce(
  { state: { stclear } }: Call,
  kind: 'contextNonceKey' | 'contextNonceSession',
  found: Uint8Array,
): void {
  demand(sameSecret(stclear[kind], found), 'BADCONTEXT');
}

/** The entity of a session must be there: the guest tells which one it is now. */
export function demandEntity(call: Call, session: AuthSession, handle: number): void {
  const digest = entityDigest(call, session.entityType, handle);
  demand(sameSecret(digest, session.entityDigest), 'RESOURCEMISSING');
}

function entityDigest({ state }: Call, entityType: number, handle: number): Uint8Array {
  const { data, nv } = state.permanent;
  switch (entityType) {
    case EntityType.KEYHANDLE: {
      if (handle === Handle.SRK) return findSrk(state).secret.pubDataDigest;
      const found = state.keys.find(handle);
      demand(found !== undefined, 'BAD_HANDLE');
      return found.key.secret.pubDataDigest;
    }
    case EntityType.OWNER:
      demand(data.ownerInstalled, 'RESOURCEMISSING');
      return data.ownerAuth;
    case EntityType.SRK:
      return findSrk(state, 'RESOURCEMISSING').secret.pubDataDigest;
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

/** A key out of its context, whose numbers must make a key before anything is proven. */
export function openKey(call: Call, blob: ContextBlob) {
  const key = open(call.state.permanent.data, blob, () => keyHandleEntry);
  demand(isRsaPart(key.value.key), 'BAD_PARAMETER');
  return key;
}
