/**
 * The authorisation sessions of a TPM (TPM Main Part 3, §18): 16 places, handles drawn at random.
 * @module
 */
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Entropy } from '../../engine.js';
import type { Slots } from '../../kernel/slots.js';
import { demand } from '../results.js';
import type { AuthSession } from '../state/auth-session.js';
import { noBytes20 } from '../structures/basic.js';
import { noDelegatePublic } from '../structures/delegate-public.js';
import { AdipScheme, Protocol } from '../structures/types.js';

type Sessions = Slots<AuthSession>;

/**
 * A new session of one of the protocols of authorisation.
 * @throws TpmFault RESOURCES where every place is taken
 */
export function openSession(sessions: Sessions, protocol: number, entropy: Entropy): AuthSession {
  const unplaced = {
    handle: 0,
    protocol,
    entityType: 0,
    adipEncScheme: 0,
    nonceEven: noBytes20(),
    sharedSecret: noBytes20(),
    entityDigest: noBytes20(),
    delegation: noDelegatePublic(),
  };
  const session = sessions.add(unplaced, entropy);
  session.nonceEven = entropy(20);
  return session;
}

/** Whether a session is bound to one entity. */
export const isBound = ({ protocol }: AuthSession): boolean => protocol !== Protocol.OIAP;

/**
 * Ends every OSAP session to an entity that is removed; returns the handles. The session of the
 * command itself may be spared: it still authorises the response.
 */
export function terminateEntity(
  sessions: Sessions,
  entityType: number,
  entityDigest: Uint8Array,
  spared?: number,
): number[] {
  const ended = sessions.all.filter(
    session =>
      isBound(session) &&
      session.entityType === entityType &&
      sameSecret(session.entityDigest, entityDigest),
  );
  return end(sessions, ended, spared);
}

/** Ends every session that is bound to an entity, except one; returns the handles. */
export function terminateBound(sessions: Sessions, spared?: number): number[] {
  return end(sessions, sessions.all.filter(isBound), spared);
}

function end(sessions: Sessions, ended: readonly AuthSession[], spared?: number): number[] {
  const handles = ended.map(({ handle }) => handle);
  for (const handle of handles) if (handle !== spared) sessions.remove(handle);
  return handles;
}

/** Demands a supported scheme for secrets in a session. */
export function demandAdipScheme(scheme: number, fips: boolean): void {
  const xor = scheme === AdipScheme.XOR && !fips;
  demand(xor || scheme === AdipScheme.AES128_CTR, 'INAPPROPRIATE_ENC');
}

/** The secret that both sides of an OSAP session derive from the entity's. */
export const sharedSecret = (entity: Uint8Array, even: Uint8Array, odd: Uint8Array): Uint8Array =>
  hmacSha1(entity, even, odd);
