/**
 * Sessions by delegation (TPM Main Part 3, §18): TPM_DSAP and TPM_SetOwnerPointer.
 * @module
 */
import { encode, u16, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import { demandProven, demandVerified, findRow, openSecret } from '../auth/delegates.js';
import { demandAdipScheme, openSession, sharedSecret } from '../auth/sessions.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { demand, refusedAs, TpmFault } from '../results.js';
import type { AuthSession } from '../state/auth-session.js';
import { nonce } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { type DelegatePublic, keyBlob, ownerBlob } from '../structures/delegate-public.js';
import { load } from '../structures/parsing.js';
import { EntityType, Handle, Protocol } from '../structures/types.js';

/** Lets the owner's secret stand for a delegation from now on, for software that knows of none. */
export const setOwnerPointer = command({
  ordinal: 'SetOwnerPointer',
  auth: 'none',
  when: 'owned',
  input: { entityType: u16, entityValue: u32 },
  run(call, { entityType, entityValue }) {
    const { stclear } = call.state;
    if (entityType === EntityType.DEL_ROW) {
      demandVerified(call, findRow(call, entityValue).pub);
      stclear.ownerReference = entityValue;
    } else {
      demand(entityType === EntityType.OWNER, 'BAD_PARAMETER');
      stclear.ownerReference = Handle.OWNER;
    }
    return {};
  },
});

/** What a DSAP session is opened with. */
interface Delegation {
  readonly pub: DelegatePublic;
  readonly authValue: Uint8Array;
  readonly entityDigest: Uint8Array;
}

/** Opens a session for a delegation. */
export const dsap = command({
  ordinal: 'DSAP',
  auth: 'none',
  when: 'workingOwned',
  transport: { keys: 'typed' },
  uncovered: { input: 30, output: 40 },
  input: {
    entityType: u16,
    keyHandle: u32,
    nonceOddDSAP: nonce,
    entityValue: sizedBuffer,
  },
  outHandles: { authHandle: 'session' },
  output: { nonceEven: nonce, nonceEvenDSAP: nonce },
  run(call, { entityType, keyHandle, nonceOddDSAP, entityValue }) {
    const kind = entityType % 256;
    const { pub, authValue, entityDigest } = delegationOf(call, kind, keyHandle, entityValue);
    const { authSessions } = call.state.stclear;
    const session = openSession(authSessions, Protocol.DSAP, call.tpm.entropy);
    try {
      session.adipEncScheme = Math.floor(entityType / 256);
      demandAdipScheme(session.adipEncScheme, call.state.permanent.flags.FIPS);
    } catch (error) {
      authSessions.remove(session.handle);
      throw error;
    }
    const nonceEvenDSAP = call.tpm.entropy(20);
    Object.assign(session, {
      entityType: kind === EntityType.DEL_KEY_BLOB ? EntityType.KEYHANDLE : EntityType.OWNER,
      delegation: pub,
      entityDigest: entityDigest.slice(),
      sharedSecret: sharedSecret(authValue, nonceEvenDSAP, nonceOddDSAP),
    } satisfies Partial<AuthSession>);
    return { authHandle: session.handle, nonceEven: session.nonceEven, nonceEvenDSAP };
  },
});

function delegationOf(call: Call, kind: number, keyHandle: number, value: Uint8Array): Delegation {
  const { ownerAuth } = call.state.permanent.data;
  switch (kind) {
    case EntityType.DEL_OWNER_BLOB: {
      const blob = blobOf(value, ownerBlob);
      demandVerified(call, blob.pub);
      demandProven(call, blob);
      return { pub: blob.pub, authValue: openSecret(call, blob), entityDigest: ownerAuth };
    }
    case EntityType.DEL_ROW: {
      const { pub, authValue } = findRow(call, load(u32, value));
      demandVerified(call, pub);
      return { pub, authValue, entityDigest: ownerAuth };
    }
    case EntityType.DEL_KEY_BLOB: {
      const blob = blobOf(value, keyBlob);
      demandVerified(call, blob.pub);
      demandProven(call, blob);
      const { key } = findKey(call, keyHandle, { readOnly: true, ignorePcrs: true });
      demand(sameSecret(sha1(encode(sizedBuffer, key.pubKey)), blob.pubKeyDigest), 'KEYNOTFOUND');
      const { digest } = entityOfKey(key);
      return { pub: blob.pub, authValue: openSecret(call, blob), entityDigest: digest };
    }
    default:
      throw new TpmFault('BAD_PARAMETER');
  }
}

/** Whatever is wrong with it, what does not parse is no entity of that kind. */
function blobOf<T>(bytes: Uint8Array, codec: Parameters<typeof load<T>>[0]): T {
  return refusedAs('WRONG_ENTITYTYPE', () => load(codec, bytes));
}
