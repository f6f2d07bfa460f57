/**
 * The authorisation sessions of a TPM (TPM Main Part 3, §18): 16 places, handles drawn at random.
 * @module
 */
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Entropy } from '../../engine.js';
import { demand } from '../results.js';
import { type AuthSession, wipeSession } from '../state/auth-session.js';
import type { StclearData } from '../state/state.js';
import { noBytes20 } from '../structures/basic.js';
import { noDelegatePublic } from '../structures/delegate-public.js';
import { AdipScheme, Protocol } from '../structures/types.js';
import { takeHandle, type WantedHandle } from './handles.js';

type Sessions = StclearData['authSessions'];

/**
 * A new session at the first free place, with a handle that no other has.
 * @throws TpmFault RESOURCES where every place is taken
 */
export function openAt(
  sessions: Sessions,
  protocol: (typeof Protocol)[keyof typeof Protocol],
  entropy: Entropy,
): AuthSession {
  const place = sessions.indexOf(undefined);
  demand(place >= 0, 'RESOURCES');
  const session: AuthSession = {
    handle: takeHandle(handle => !isTaken(sessions, handle), entropy),
    protocol,
    entityType: 0,
    adipEncScheme: 0,
    nonceEven: entropy(20),
    sharedSecret: noBytes20(),
    entityDigest: noBytes20(),
    delegation: noDelegatePublic(),
  };
  sessions[place] = session;
  return session;
}

/**
 * A session that was elsewhere, at the first free place.
 * @throws TpmFault RESOURCES where there is none, BAD_HANDLE for a handle that cannot be kept
 */
export function placeSession(
  sessions: Sessions,
  session: AuthSession,
  entropy: Entropy,
  wanted?: WantedHandle,
): number {
  const place = sessions.indexOf(undefined);
  demand(place >= 0, 'RESOURCES');
  const handle = takeHandle(free => !isTaken(sessions, free), entropy, wanted);
  sessions[place] = { ...session, handle };
  return handle;
}

const isTaken = (sessions: Sessions, handle: number): boolean =>
  sessions.some(session => session?.handle === handle);

/** Ends the session of `handle`, where there is one. */
export function terminate(sessions: Sessions, handle: number): boolean {
  const place = sessions.findIndex(session => session?.handle === handle);
  if (place < 0) return false;
  wipeSession(sessions[place]!);
  sessions[place] = undefined;
  return true;
}

/**
 * Ends every OSAP session to an entity that goes, and tells which handles ended. The session of the
 * command itself may be spared: it has to authorise the answer yet.
 */
export function terminateEntity(
  sessions: Sessions,
  entityType: number,
  entityDigest: Uint8Array,
  spared?: number,
): number[] {
  return sessions.flatMap(session => {
    const bound = session !== undefined && session.protocol !== Protocol.OIAP;
    if (!bound || session.entityType !== entityType) return [];
    if (!sameSecret(session.entityDigest, entityDigest)) return [];
    if (session.handle !== spared) terminate(sessions, session.handle);
    return [session.handle];
  });
}

/** Ends every session that is bound to an entity, but for one, and tells which handles ended. */
export function terminateBound(sessions: Sessions, spared?: number): number[] {
  return sessions.flatMap(session => {
    if (session === undefined || session.protocol === Protocol.OIAP) return [];
    if (session.handle !== spared) terminate(sessions, session.handle);
    return [session.handle];
  });
}

/** Demands a way to encrypt secrets in a session that this TPM has. */
export function demandAdipScheme(scheme: number, fips: boolean): void {
  const xor = scheme === AdipScheme.XOR && !fips;
  demand(xor || scheme === AdipScheme.AES128_CTR, 'INAPPROPRIATE_ENC');
}

/** The secret that both sides of an OSAP session derive from the entity's. */
export const sharedSecret = (entity: Uint8Array, even: Uint8Array, odd: Uint8Array): Uint8Array =>
  hmacSha1(entity, even, odd);
