/**
 * DAA sessions (TPM Main Part 2, §22): what a TPM keeps from one stage of TPM_DAA_Join or
 * TPM_DAA_Sign to the next. There are two places for them. A session does not say which of the two
 * commands opened it; the digests in it see to it that it cannot be used by the other.
 * @module
 */
import { bool, bytes, type Of, struct, u8, u32 } from '../../../wire/codec.js';
import { wipe } from '../../crypto/rsa.js';
import type { Entropy } from '../../engine.js';
import { takeHandle, type WantedHandle } from '../auth/handles.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest, noBytes20, nonce, structure } from '../structures/basic.js';

/** §22.1: sizes in bytes, and §22.2: exponents of 2. */
// biome-ignore format: table
export const DaaSize = { NT: 20, v0: 128, v1: 192, NE: 256, w: 256, issuerModulus: 256 } as const;
const SCRATCH_BYTES = DaaSize.issuerModulus;

/** §22.3 TPM_DAA_ISSUER: an issuer's parameters, by their digests. Nothing in it is secret. */
// biome-ignore format: table
export const daaIssuer = structure(0x002f, {
  digestR0:    digest,
  digestR1:    digest,
  digestS0:    digest,
  digestS1:    digest,
  digestN:     digest,
  digestGamma: digest,
  genericQ:    bytes(26),
});

/** §22.4 TPM_DAA_TPM: what this TPM is to one issuer. */
// biome-ignore format: table
export const daaTpm = structure(0x0032, {
  digestIssuer: digest,
  digestV0:     digest,
  digestV1:     digest,
  rekey:        digest,
  count:        u32,
});

/** §22.5 TPM_DAA_CONTEXT. The scratch keeps its bytes when it counts as empty, as in libtpms. */
// biome-ignore format: table
const daaContext = structure(0x002d, {
  digestContext:  digest,
  digest:         digest,
  contextSeed:    nonce,
  scratch:        bytes(SCRATCH_BYTES),
  stage:          u8,
  scratchIsEmpty: bool,
});

/** §22.6 TPM_DAA_JOINDATA. */
// biome-ignore format: table
export const daaJoinData = struct({
  u0:       bytes(128),
  u1:       bytes(138),
  digestN0: digest,
});

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
