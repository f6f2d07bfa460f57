/**
 * DAA sessions (TPM Main Part 2, §22): what a TPM keeps from one stage of TPM_DAA_Join or
 * TPM_DAA_Sign to the next. A session does not say which of the two
 * commands opened it; the digests in it see to it that it cannot be used by the other.
 * @module
 */
import { type Of, struct, u32 } from '../../../wire/codec.js';
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
