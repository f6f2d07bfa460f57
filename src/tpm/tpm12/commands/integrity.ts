/**
 * Integrity collection (TPM Main Part 3, §16): the PCRs.
 * @module
 */
import { struct, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/rsa.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { demand } from '../results.js';
import { attributesOf, DRTM_PCR, mayFrom, resetPcr, selected } from '../state/pcr.js';
import { digest, noBytes20, nothing, pcrSelection, selectsAny } from '../structures/basic.js';

const DRTM_LOCALITY = 4;

/** Folds a digest into a PCR, so that what it holds stands for all that went in. */
export const extend = command({
  ordinal: 0x14,
  name: 'TPM_Extend',
  auth: 'none',
  when: 'working',
  input: struct({ pcrNum: u32, inDigest: digest }),
  output: struct({ outDigest: digest }),
  run: (call, { pcrNum, inDigest }) => ({ outDigest: extendPcr(call, pcrNum, inDigest) }),
});

/** Extends a PCR, and gives what it holds then, or zeros where the TPM is out of service. */
export function extendPcr(
  { state, locality }: Call,
  pcrNum: number,
  inDigest: Uint8Array,
): Uint8Array {
  demand(mayFrom(attributesOf(pcrNum).extend, locality), 'BAD_LOCALITY');
  const held = state.stclear.pcrs[pcrNum]!;
  // Only a hash sequence starts the PCR of a trusted system.
  const unstarted = pcrNum === DRTM_PCR && held.every(byte => byte === 0);
  demand(!unstarted || locality === DRTM_LOCALITY, 'BAD_LOCALITY');
  const outDigest = sha1(held, inDigest);
  state.stclear.pcrs[pcrNum] = outDigest;
  const silent = state.permanent.flags.disable || state.stclearFlags.deactivated;
  return silent ? noBytes20() : outDigest;
}

/** What a PCR holds. */
export const pcrRead = command({
  ordinal: 0x15,
  name: 'TPM_PcrRead',
  auth: 'none',
  when: 'operational',
  input: struct({ pcrIndex: u32 }),
  output: struct({ outDigest: digest }),
  run({ state }, { pcrIndex }) {
    const outDigest = state.stclear.pcrs[pcrIndex];
    demand(outDigest !== undefined, 'BADINDEX');
    return { outDigest };
  },
});

/** Resets PCRs: all that are named, or none. */
export const pcrReset = command({
  ordinal: 0xc8,
  name: 'TPM_PCR_Reset',
  auth: 'none',
  when: 'working',
  input: struct({ pcrSelection }),
  output: nothing,
  run({ state, locality }, { pcrSelection: selection }) {
    demand(selectsAny(selection), 'INVALID_PCR_INFO');
    const pcrs = selected(selection);
    for (const pcr of pcrs) {
      const { reset } = attributesOf(pcr);
      demand(reset !== 0, 'NOTRESETABLE');
      demand(mayFrom(reset, locality), 'NOTLOCAL');
    }
    for (const pcr of pcrs) state.stclear.pcrs[pcr] = resetPcr(pcr, state.stany.tosPresent);
    return {};
  },
});
