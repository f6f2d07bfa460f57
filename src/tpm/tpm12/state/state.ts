/**
 * What a TPM has in memory, grouped by how long it lasts (TPM Main Part 2, §7): `permanent` lives
 * in `permall`; `stclear` from one TPM_Startup(ST_CLEAR) to the next, over TPM_SaveState; `stany`
 * until any start. What only this engine knows (self-test, ticks, a hash sequence) is named at the
 * end.
 * @module
 */
import type { Sha1Stream } from '../../crypto/sha1-stream.js';
import type { Slots } from '../../kernel/slots.js';
import { LIMITS } from '../limits.js';
import { noBytes20 } from '../structures/basic.js';
import type { LoadedKey } from '../structures/key.js';
import type { TransportSession } from '../structures/transport-public.js';
import { Handle } from '../structures/types.js';
import type { AuthSession } from './auth-session.js';
import type { DaaSession } from './daa-session.js';
import { freshPcrs } from './pcr.js';
import type { Permanent } from './permanent.js';
import { authSlots, daaSlots, keySlots, transportSlots } from './places.js';

/** How far the self-test got; the numbers are those that TPM_GetTestResult shows. */
export const TestState = { LIMITED: 1, FULL: 2, FAILURE: 3 } as const;

export type TestState = (typeof TestState)[keyof typeof TestState];

/**
 * Part 2 §7.2 TPM_STCLEAR_FLAGS, in the order of the bits of the map and of the bytes on the bus.
 */
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
  authSessions: Slots<AuthSession>;
  transSessions: Slots<TransportSession>;
  daaSessions: Slots<DaaSession>;
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
  /** The loaded keys; those that the owner keeps over power cycles are among them. */
  keys: Slots<LoadedKey>;
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
  authSessions: authSlots(),
  transSessions: transportSlots(),
  daaSessions: daaSlots(),
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
  keys: keySlots(permanent.evictKeys),
  testState: TestState.LIMITED,
  ticks,
  hash: undefined,
  sha1Thread: undefined,
  sha1Transport: 0,
});

/** Ends every session that commands open, and overwrites its secrets. */
export function endAllSessions({ authSessions, transSessions, daaSessions }: StclearData): void {
  authSessions.clear();
  transSessions.clear();
  daaSessions.clear();
}
