/**
 * DAA sessions (TPM Main Part 2, §22): what a TPM keeps from one stage of TPM_DAA_Join or
 * TPM_DAA_Sign to the next. There are two places for them. A session does not say which of the two
 * commands opened it; the digests in it see to it that it cannot be used by the other.
 * @module
 */
import { type Of, struct, u32 } from '../../../wire/codec.js';
import { wipe } from '../../crypto/secrets.js';
import type { Entropy } from '../../engine.js';
import { takeHandle, type WantedHandle } from '../auth/handles.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { noBytes20 } from '../structures/basic.js';
import {
  daaContext,
  daaIssuer,
  daaJoinData,
  daaTpm,
  SCRATCH_BYTES,
} from '../structures/daa-issuer.js';

/** A session, as libtpms keeps it. */
// biome-ignore format: table
export const daaSession = struct({
  issuer:   daaIssuer,
  specific: daaTpm,
  context:  daaContext,
  join:     daaJoinData,
  handle:   u32,
});

export type DaaSession = Of<typeof daaSession>;

type Places = (DaaSession | undefined)[];

/** Sessions at the first places, and free places behind them. */
export const daaPlaces = (...sessions: readonly DaaSession[]): Places =>
  Array.from({ length: LIMITS.daaSessions }, (_, place) => sessions[place]);

/** A session in which nothing happened yet. */
export const freshDaa = (): DaaSession => ({
  issuer: {
    digestR0: noBytes20(),
    digestR1: noBytes20(),
    digestS0: noBytes20(),
    digestS1: noBytes20(),
    digestN: noBytes20(),
    digestGamma: noBytes20(),
    genericQ: new Uint8Array(26),
  },
  specific: {
    digestIssuer: noBytes20(),
    digestV0: noBytes20(),
    digestV1: noBytes20(),
    rekey: noBytes20(),
    count: 0,
  },
  context: {
    digestContext: noBytes20(),
    digest: noBytes20(),
    contextSeed: noBytes20(),
    scratch: new Uint8Array(SCRATCH_BYTES),
    stage: 0,
    scratchIsEmpty: true,
  },
  join: { u0: new Uint8Array(128), u1: new Uint8Array(138), digestN0: noBytes20() },
  handle: 0,
});

/** @throws TpmFault RESOURCES where every place is taken */
export const demandDaaPlace = (sessions: Places): void =>
  demand(sessions.includes(undefined), 'RESOURCES');

/**
 * A session at the first free place; gives its handle.
 * @throws TpmFault RESOURCES where there is none, BAD_HANDLE for a handle that cannot be kept
 */
export function placeDaa(
  sessions: Places,
  session: DaaSession,
  entropy: Entropy,
  wanted?: WantedHandle,
): number {
  demandDaaPlace(sessions);
  const isFree = (handle: number): boolean => !sessions.some(one => one?.handle === handle);
  const handle = takeHandle(isFree, entropy, wanted);
  sessions[sessions.indexOf(undefined)] = { ...session, handle };
  return handle;
}

/** @throws TpmFault BAD_HANDLE where there is no such session */
export function findDaa(sessions: Places, handle: number): DaaSession {
  const found = sessions.find(session => session?.handle === handle);
  demand(found !== undefined, 'BAD_HANDLE');
  return found;
}

/** Ends the session of `handle`, where there is one. */
export function endDaa(sessions: Places, handle: number): boolean {
  const place = sessions.findIndex(session => session?.handle === handle);
  if (place < 0) return false;
  wipeDaa(sessions[place]!);
  sessions[place] = undefined;
  return true;
}

/** Overwrites the secrets of a session that ends. */
export function wipeDaa({ specific, context, join }: DaaSession): void {
  wipe(join.u0, join.u1, context.contextSeed, context.scratch, context.digest, specific.rekey);
}
