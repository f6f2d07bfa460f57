/**
 * What a TPM has in memory, grouped by how long it lasts (TPM Main Part 2, §7): `permanent` lives in
 * `permall`; `stclear` from one TPM_Startup(ST_CLEAR) to the next, over TPM_SaveState; `stany` until
 * any start. What only this engine knows (self-test, ticks, a hash sequence) is named at the end.
 * @module
 */
import { wipe } from '../../crypto/secrets.js';
import type { Sha1Stream } from '../../crypto/sha1-stream.js';
import { LIMITS } from '../limits.js';
import { noBytes20 } from '../structures/basic.js';
import type { LoadedKey } from '../structures/key.js';
import type { TransportSession } from '../structures/transport-public.js';
import { Handle } from '../structures/types.js';
import { type AuthSession, wipeSession } from './auth-session.js';
import { type DaaSession, daaPlaces, wipeDaa } from './daa-session.js';
import { freshPcrs } from './pcr.js';
import type { Permanent } from './permanent.js';

/** How far the self-test got; the numbers are those that TPM_GetTestResult shows. */
export const TestState = { LIMITED: 1, FULL: 2, FAILURE: 3 } as const;

export type TestState = (typeof TestState)[keyof typeof TestState];

/** Part 2 §7.2 TPM_STCLEAR_FLAGS, in the order of the bits of the map and of the bytes on the bus. */
export const STCLEAR_FLAGS = [
  'deactivated',
  'disableForceClear',
  'physicalPresence',
  'physicalPresenceLock',
  'bGlobalLock',
] as const;

type StclearFlags = Record<(typeof STCLEAR_FLAGS)[number], boolean>;

/** A counter ID that stands for no counter. */
export const NO_COUNTER = 0xffff_ffff;

/** The counter that this power cycle had chosen was released. */
export const RELEASED_COUNTER = 0xffff_fffe;

/** Part 2 §7.5 TPM_STCLEAR_DATA. */
export interface StclearData {
  contextNonceKey: Uint8Array;
  countID: number;
  ownerReference: number;
  disableResetLock: boolean;
  pcrs: Uint8Array[];
  deferredPhysicalPresence: number;
  authFailCount: number;
  /** Seconds of the clock when the last failure was counted. */
  authFailTime: number;
  /** By place: a session that ends leaves a place that the next one takes. */
  authSessions: (AuthSession | undefined)[];
  /** By place, as above. */
  transSessions: (TransportSession | undefined)[];
  /** By place, as above. */
  daaSessions: (DaaSession | undefined)[];
  contextNonceSession: Uint8Array;
  contextCount: number;
  contextList: number[];
  auditDigest: Uint8Array;
}

/** Part 2 §7.3 TPM_STANY_FLAGS. */
interface StanyFlags {
  postInitialise: boolean;
  tosPresent: boolean;
  stateSaved: boolean;
  /** The handle of the transport session that any other command ends; 0 for none. */
  transportExclusive: number;
}

export interface TpmState {
  permanent: Permanent;
  stclearFlags: StclearFlags;
  stclear: StclearData;
  stany: StanyFlags;
  /** By place: a key that goes leaves a place that the next one takes. The owner's keys are there too. */
  keys: (LoadedKey | undefined)[];
  testState: TestState;
  /** When the ticks began, in microseconds of the clock, and the nonce of this power cycle. */
  ticks: { startedAt: number; nonce: Uint8Array };
  /** The hash sequence of locality 4 that is under way. */
  hash: Sha1Stream | undefined;
  /** The hash that TPM_SHA1Start began. */
  sha1Thread: Sha1Stream | undefined;
  /** The transport session that it was begun through; 0 for none. */
  sha1Transport: number;
}

export const freshStany = (): StanyFlags => ({
  postInitialise: true,
  tosPresent: false,
  stateSaved: false,
  transportExclusive: 0,
});

/** TPM_STCLEAR_DATA as of power on, but with the PCRs that it is given. */
export const freshStclear = (pcrs: Uint8Array[] = freshPcrs()): StclearData => ({
  contextNonceKey: noBytes20(),
  countID: NO_COUNTER,
  ownerReference: Handle.OWNER,
  disableResetLock: false,
  pcrs,
  deferredPhysicalPresence: 0,
  authFailCount: 0,
  authFailTime: 0,
  authSessions: new Array<AuthSession | undefined>(LIMITS.authSessions).fill(undefined),
  transSessions: Array.from({ length: LIMITS.transportSessions }, () => undefined),
  daaSessions: daaPlaces(),
  contextNonceSession: noBytes20(),
  contextCount: 0,
  contextList: new Array<number>(LIMITS.contexts).fill(0),
  auditDigest: noBytes20(),
});

/** A TPM that was just powered on. */
export const poweredOn = (permanent: Permanent, ticks: TpmState['ticks']): TpmState => ({
  permanent,
  stclearFlags: {
    deactivated: false,
    disableForceClear: false,
    physicalPresence: false,
    physicalPresenceLock: false,
    bGlobalLock: false,
  },
  stclear: freshStclear(),
  stany: freshStany(),
  keys: Array.from({ length: LIMITS.keyHandles }, (_, place) => permanent.evictKeys[place]),
  testState: TestState.LIMITED,
  ticks,
  hash: undefined,
  sha1Thread: undefined,
  sha1Transport: 0,
});

/** Overwrites the secrets of a permanent state that goes. */
export function wipePermanent({ data, nv }: Permanent): void {
  const { contextKey, delegateKey, daaBlobKey, endorsementKey, srk } = data;
  wipe(data.tpmProof, data.ownerAuth, data.operatorAuth, data.tpmDAASeed, data.daaProof);
  wipe(contextKey.key, delegateKey.key, daaBlobKey.key);
  if (endorsementKey.secret !== undefined) wipe(endorsementKey.secret.prime);
  if (srk.secret !== undefined)
    wipe(srk.secret.prime, srk.secret.usageAuth, srk.secret.migrationAuth);
  for (const entry of nv) if (entry !== undefined) wipe(entry.authValue, entry.data);
}

/** Overwrites the secrets of all sessions, where the TPM forgets them at once. */
export function wipeSessions({ authSessions, transSessions, daaSessions }: StclearData): void {
  for (const session of authSessions) if (session !== undefined) wipeSession(session);
  for (const session of transSessions) if (session !== undefined) wipe(session.authData);
  for (const session of daaSessions) if (session !== undefined) wipeDaa(session);
}
