/**
 * The context commands of TPM 1.1 (TPM Main Part 3, §27.2).
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { sameSecret } from '../../crypto/secrets.js';
import { isBound } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { open, seal } from '../context-seal.js';
import {
  countContext,
  demandEntity,
  demandNonce,
  findSession,
  NO_LABEL,
  nonceOf,
  openKey,
  strikeOut,
} from '../contexts.js';
import { findLoaded } from '../keys/loaded.js';
import { demand } from '../results.js';
import { type AuthSession, authSession } from '../state/auth-session.js';
import { noBytes20 } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { contextBlob } from '../structures/context-blob.js';
import { keyHandleEntry } from '../structures/key.js';
import { EntityType, Resource } from '../structures/types.js';

/** Gives a key away as a context, and lets it go. */
export const saveKeyContext = command({
  ordinal: 'SaveKeyContext',
  auth: 'none',
  when: 'operational',
  handles: { keyHandle: 'key' },
  output: { keyContextBlob: sizedBuffer },
  run(call, { keyHandle: handle }) {
    const { permanent, keys } = call.state;
    const key = findLoaded(keys, handle);
    const nonce = nonceOf(call, 'contextNonceKey');
    const head = { resourceType: Resource.KEY, handle, label: NO_LABEL, contextCount: 0 };
    const blob = seal(permanent.data, head, nonce, keyHandleEntry, key);
    keys.remove(handle);
    return { keyContextBlob: blob };
  },
});

const contextInput = { contextSize: u32, contextBlob };

/** Takes a key back, under its old handle if that is free. */
export const loadKeyContext = command({
  ordinal: 'LoadKeyContext',
  auth: 'none',
  when: 'operational',
  input: contextInput,
  outHandles: { handle: 'entity' },
  run(call, { contextBlob: blob }) {
    demand(blob.resourceType === Resource.KEY, 'BAD_PARAMETER');
    const { keys } = call.state;
    const key = openKey(call, blob);
    demandNonce(call, 'contextNonceKey', key.contextNonce);
    key.prove();
    demand(keys.free > 0, 'RESOURCES');
    const wanted = { handle: blob.handle, keep: false };
    return { handle: keys.add(key.value, call.tpm.entropy, wanted).handle };
  },
});

/** Gives a session away as a context, and lets it go. */
export const saveAuthContext = command({
  ordinal: 'SaveAuthContext',
  auth: 'none',
  when: 'operational',
  handles: { authHandle: 'session' },
  output: { authContextBlob: sizedBuffer },
  run(call, { authHandle: handle }) {
    const { permanent, stclear } = call.state;
    const session = findSession(call.state, handle);
    demand(session !== undefined, 'INVALID_AUTHHANDLE');
    const nonce = nonceOf(call, 'contextNonceSession');
    const contextCount = countContext(call, 'always');
    const head = { resourceType: Resource.AUTH, handle, label: NO_LABEL, contextCount };
    const blob = seal(permanent.data, head, nonce, authSession, session);
    stclear.authSessions.remove(handle);
    return { authContextBlob: blob };
  },
});

/** Takes a session back, under its old handle if that is free. */
export const loadAuthContext = command({
  ordinal: 'LoadAuthContext',
  auth: 'none',
  when: 'operational',
  input: contextInput,
  outHandles: { handle: 'entity' },
  run(call, { contextBlob: blob }) {
    demand(blob.resourceType === Resource.AUTH, 'BAD_PARAMETER');
    const { permanent, stclear } = call.state;
    const session = open(permanent.data, blob, () => authSession);
    demandNonce(call, 'contextNonceSession', session.contextNonce);
    if (isBound(session.value)) demandEntityLoaded(call, session.value);
    session.prove();
    stclear.authSessions.demandPlace();
    strikeOut(call, blob.contextCount);
    const wanted = { handle: blob.handle, keep: false };
    const { entropy } = call.tpm;
    return { handle: stclear.authSessions.add(session.value, entropy, wanted).handle };
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
    ...keys.all.map(entry => entry.key.secret.pubDataDigest),
    ownerInstalled ? srk.secret?.pubDataDigest : undefined,
  ];
  const there = digests.some(one => sameSecret(one ?? noBytes20(), session.entityDigest));
  demand(there, 'RESOURCEMISSING');
}
