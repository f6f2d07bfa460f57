/**
 * Authorisation sessions (TPM Main Part 3, §18, and §9, §27.7 for their end): TPM_OIAP, TPM_OSAP,
 * TPM_Terminate_Handle, TPM_FlushSpecific.
 * @module
 */
import { struct, u16, u32 } from '../../../wire/codec.js';
import type { Call, Entity } from '../call.js';
import { command } from '../command.js';
import { OWNER_EVICT } from '../keys.js';
import { findNv, nvDigest } from '../nv-area.js';
import { demand, TpmFault } from '../results.js';
import {
  AdipScheme,
  EntityType,
  openAt,
  sharedSecret,
  terminate,
  terminateEntity,
} from '../sessions.js';
import { type AuthSession, Handle, Protocol } from '../state.js';
import { nonce, nothing } from '../structures.js';

/** Opens a session that may authorise anything. */
export const oiap = command({
  ordinal: 0x0a,
  name: 'TPM_OIAP',
  auth: 'none',
  when: 'working',
  handleBytes: { input: 0, output: 24 },
  input: nothing,
  output: struct({ authHandle: u32, nonceEven: nonce }),
  run({ tpm, state }) {
    const session = openAt(state.stclear.authSessions, Protocol.OIAP, tpm.entropy);
    return { authHandle: session.handle, nonceEven: session.nonceEven };
  },
});

/** Opens a session to one entity, with a secret of its own. */
export const osap = command({
  ordinal: 0x0b,
  name: 'TPM_OSAP',
  auth: 'none',
  when: 'workingOwned',
  handleBytes: { input: 26, output: 44 },
  input: struct({ entityType: u16, entityValue: u32, nonceOddOSAP: nonce }),
  output: struct({ authHandle: u32, nonceEven: nonce, nonceEvenOSAP: nonce }),
  run(call, { entityType, entityValue, nonceOddOSAP }) {
    const { authSessions } = call.state.stclear;
    const session = openAt(authSessions, Protocol.OSAP, call.tpm.entropy);
    try {
      const nonceEvenOSAP = call.tpm.entropy(20);
      bind(call, session, entityType, entityValue, nonceEvenOSAP, nonceOddOSAP);
      return { authHandle: session.handle, nonceEven: session.nonceEven, nonceEvenOSAP };
    } catch (error) {
      terminate(authSessions, session.handle);
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
  const { XOR, AES128_CTR } = AdipScheme;
  const xor = session.adipEncScheme === XOR && !call.state.permanent.flags.FIPS;
  demand(xor || session.adipEncScheme === AES128_CTR, 'INAPPROPRIATE_ENC');
  const { secret, digest } = entityOf(call, session.entityType, entityValue);
  session.entityDigest = digest.slice();
  session.sharedSecret = sharedSecret(secret, nonceEvenOSAP, nonceOddOSAP);
}

/** The secret of an entity, and the digest that tells it from others. */
function entityOf({ state }: Call, type: number, value: number): Entity {
  const { data, nv } = state.permanent;
  switch (type) {
    case EntityType.KEYHANDLE:
      return keyEntity(state, value);
    case EntityType.OWNER:
      // Whether there is an owner at all was asked before the command ran.
      demand(state.stclear.ownerReference === Handle.OWNER, 'BAD_PARAMETER');
      return { secret: data.ownerAuth, digest: data.ownerAuth };
    case EntityType.SRK:
      return keyEntity(state, Handle.SRK);
    case EntityType.COUNTER: {
      const counter = data.counters[value];
      demand(counter?.valid === true, 'BAD_COUNTER');
      return { secret: counter.authData, digest: counter.authData };
    }
    case EntityType.NV: {
      const entry = findNv(nv, value);
      return { secret: entry.authValue, digest: nvDigest(entry) };
    }
    default:
      throw new TpmFault('BAD_PARAMETER');
  }
}

function keyEntity({ permanent, loadedKeys }: Call['state'], handle: number): Entity {
  demand(handle !== Handle.OPERATOR, 'BAD_HANDLE');
  demand(handle !== Handle.EK, 'KEYNOTFOUND');
  // What else lies between SRK and EK is no key.
  demand(!(handle > Handle.SRK && handle < Handle.EK), 'INVALID_RESOURCE');
  const { secret } =
    handle === Handle.SRK
      ? permanent.data.srk
      : findKey([...permanent.evictKeys, ...loadedKeys], handle);
  demand(secret !== undefined, 'KEYNOTFOUND');
  return { secret: secret.usageAuth, digest: secret.pubDataDigest };
}

function findKey(keys: Call['state']['loadedKeys'], handle: number) {
  const found = keys.find(key => key.handle === handle);
  demand(found !== undefined, 'INVALID_KEYHANDLE');
  return found.key;
}

/** Ends an authorisation session. */
export const terminateHandle = command({
  ordinal: 0x96,
  name: 'TPM_Terminate_Handle',
  auth: 'none',
  when: 'working',
  handleBytes: { input: 4, output: 0 },
  input: struct({ handle: u32 }),
  output: nothing,
  run({ state }, { handle }) {
    demand(terminate(state.stclear.authSessions, handle), 'INVALID_AUTHHANDLE');
    return {};
  },
});

/** Part 2 §4.1 TPM_RESOURCE_TYPE. */
export const Resource = { KEY: 1, AUTH: 2, TRANS: 4, CONTEXT: 5, COUNTER: 6, DAA: 8 } as const;

/** Lets a resource of the TPM go. */
export const flushSpecific = command({
  ordinal: 0xba,
  name: 'TPM_FlushSpecific',
  auth: 'none',
  when: 'working',
  handleBytes: { input: 4, output: 0 },
  input: struct({ handle: u32, resourceType: u32 }),
  output: nothing,
  run(call, { handle, resourceType }) {
    const { stclear } = call.state;
    switch (resourceType) {
      case Resource.KEY:
        flushKey(call, handle);
        break;
      case Resource.AUTH:
        demand(terminate(stclear.authSessions, handle), 'INVALID_AUTHHANDLE');
        break;
      case Resource.CONTEXT: {
        const place = handle === 0 ? -1 : stclear.contextList.indexOf(handle);
        demand(place >= 0, 'BAD_PARAMETER');
        stclear.contextList[place] = 0;
        break;
      }
      // There are no transport and no DAA sessions, so no handle is one of theirs.
      case Resource.TRANS:
        throw new TpmFault('INVALID_AUTHHANDLE');
      case Resource.DAA:
        throw new TpmFault('BAD_HANDLE');
      default:
        throw new TpmFault('INVALID_RESOURCE');
    }
    return {};
  },
});

function flushKey({ state }: Call, handle: number): void {
  const { permanent, loadedKeys, stclear } = state;
  const found = [...permanent.evictKeys, ...loadedKeys].find(key => key.handle === handle);
  demand(found !== undefined, 'BAD_PARAMETER');
  demand((found.keyControl & OWNER_EVICT) === 0, 'KEY_OWNER_CONTROL');
  state.loadedKeys = loadedKeys.filter(key => key !== found);
  if (found.key.secret === undefined) return;
  terminateEntity(stclear.authSessions, EntityType.KEYHANDLE, found.key.secret.pubDataDigest);
}
