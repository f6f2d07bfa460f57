/**
 * Authorisation sessions (TPM Main Part 3, §18): TPM_OIAP and TPM_OSAP.
 * @module
 */
import { u16, u32 } from '../../../wire/codec.js';
import { demandVerified, findRow } from '../auth/delegates.js';
import type { Entity } from '../auth/guest-auth.js';
import { demandAdipScheme, openSession, sharedSecret } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { entityOfCounter, findCounter } from '../monotonic.js';
import { findNv, nvDigest } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import type { AuthSession } from '../state/auth-session.js';
import { nonce } from '../structures/basic.js';
import { EntityType, Handle, Protocol } from '../structures/types.js';

/** Opens a session that may authorise anything. */
export const oiap = command({
  ordinal: 'OIAP',
  auth: 'none',
  when: 'working',
  uncovered: { output: 20 },
  outHandles: { authHandle: 'session' },
  output: { nonceEven: nonce },
  run({ tpm, state }) {
    const session = openSession(state.stclear.authSessions, Protocol.OIAP, tpm.entropy);
    return { authHandle: session.handle, nonceEven: session.nonceEven };
  },
});

/** Opens a session to one entity, with a secret of its own. */
export const osap = command({
  ordinal: 'OSAP',
  auth: 'none',
  when: 'workingOwned',
  uncovered: { input: 26, output: 40 },
  input: { entityType: u16, entityValue: u32, nonceOddOSAP: nonce },
  outHandles: { authHandle: 'session' },
  output: { nonceEven: nonce, nonceEvenOSAP: nonce },
  run(call, { entityType, entityValue, nonceOddOSAP }) {
    const { authSessions } = call.state.stclear;
    const session = openSession(authSessions, Protocol.OSAP, call.tpm.entropy);
    try {
      const nonceEvenOSAP = call.tpm.entropy(20);
      bind(call, session, entityType, entityValue, nonceEvenOSAP, nonceOddOSAP);
      return { authHandle: session.handle, nonceEven: session.nonceEven, nonceEvenOSAP };
    } catch (error) {
      authSessions.remove(session.handle);
      throw error;
    }
  },
});

function bind(
  call: Call,
  session: AuthSession,
  entityType: number,
  entityValue: number,
  nonceEvenOSAP: Uint8Array,
  nonceOddOSAP: Uint8Array,
): void {
  session.entityType = entityType % 256;
  session.adipEncScheme = Math.floor(entityType / 256);
  demandAdipScheme(session.adipEncScheme, call.state.permanent.flags.FIPS);
  const { secret, digest } = entityOf(call, session, entityValue);
  session.entityDigest = digest.slice();
  session.sharedSecret = sharedSecret(secret, nonceEvenOSAP, nonceOddOSAP);
}

/** The secret of an entity, and the digest that tells it from others. */
function entityOf(call: Call, session: AuthSession, value: number): Entity {
  const { state } = call;
  const { nv } = state.permanent;
  switch (session.entityType) {
    case EntityType.KEYHANDLE:
      return keyEntity(call, value);
    case EntityType.OWNER:
      // Whether there is an owner at all was asked before the command ran.
      return ownerEntity(call, session);
    case EntityType.SRK:
      return keyEntity(call, Handle.SRK);
    case EntityType.COUNTER: {
      return entityOfCounter(value, findCounter(call, value));
    }
    case EntityType.NV: {
      const entry = findNv(nv, value);
      return { secret: entry.authValue, digest: nvDigest(entry) };
    }
    default:
      throw new TpmFault('BAD_PARAMETER');
  }
}

/** The owner, or the delegation that TPM_SetOwnerPointer put in its place. */
function ownerEntity(call: Call, session: AuthSession): Entity {
  const { ownerReference } = call.state.stclear;
  if (ownerReference === Handle.OWNER) return call.owner;
  const { pub, authValue } = findRow(call, ownerReference);
  demandVerified(call, pub);
  session.protocol = Protocol.DSAP;
  session.delegation = pub;
  return { secret: authValue, digest: call.owner.digest };
}

function keyEntity(call: Call, handle: number): Entity {
  demand(handle !== Handle.OPERATOR, 'BAD_HANDLE');
  return entityOfKey(findKey(call, handle, { readOnly: true, ignorePcrs: true }).key);
}
