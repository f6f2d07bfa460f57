/**
 * The authorisation sessions of a TPM (TPM Main Part 3, §18): 16 places, handles drawn at random.
 * @module
 */

import { decode, u32 } from '../../wire/codec.js';
import type { Entropy } from '../engine.js';
import { hmacSha1, sameSecret } from './crypto.js';
import { demand, TpmFault } from './results.js';
import { type AuthSession, Protocol, type StclearData, wipeSession } from './state.js';
import { noBytes20, noDelegatePublic } from './structures.js';

type Sessions = StclearData['authSessions'];

/** Part 2 §4.4.3 TPM_ENTITY_TYPE, the low byte. */
// biome-ignore format: table
export const EntityType = {
  KEYHANDLE: 1,
  OWNER:     2,
  DATA:      3,
  SRK:       4,
  KEY:       5,
  COUNTER:   0x0a,
  NV:        0x0b,
} as const;
/** The high byte: how authorisation data is encrypted in a session. */
export const AdipScheme = { XOR: 0, AES128_CTR: 6 } as const;

const DRAWS_MAX = 1000;

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
    handle: freeHandle(sessions, entropy),
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

function freeHandle(sessions: Sessions, entropy: Entropy): number {
  for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
    const handle = decode(u32, entropy(4));
    if (handle !== 0 && !sessions.some(session => session?.handle === handle)) return handle;
  }
  throw new TpmFault('FAIL');
}

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

/** The secret that both sides of an OSAP session derive from the entity's. */
export const sharedSecret = (entity: Uint8Array, even: Uint8Array, odd: Uint8Array): Uint8Array =>
  hmacSha1(entity, even, odd);
