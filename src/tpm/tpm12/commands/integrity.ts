/**
 * Integrity collection and reporting (TPM Main Part 3, §16): extending, reading, resetting and
 * quoting PCRs.
 * @module
 */
import { bool, concat, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import {
  attributesOf,
  compositeDigest,
  compositeOf,
  DRTM_PCR,
  mayFrom,
  resetPcr,
  selected,
} from '../state/pcr.js';
import { digest, noBytes20, nonce, STRUCT_VER_1_1 } from '../structures/basic.js';
import { quoteInfo, quoteInfo2 } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import type { KeptKey } from '../structures/key.js';
import { composite, pcrInfoShort, pcrSelection, selectsAny } from '../structures/pcr-info.js';
import { versionInfo } from '../version.js';
import { ATTESTERS, DIGEST_SCHEMES } from './signing.js';

const DRTM_LOCALITY = 4;

/** Folds a digest into a PCR, so that what it holds stands for all that went in. */
export const extend = command({
  ordinal: 'Extend',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  input: { pcrNum: u32, inDigest: digest },
  output: { outDigest: digest },
  run: (call, { pcrNum, inDigest }) => ({ outDigest: extendPcr(call, pcrNum, inDigest) }),
});

/** Extends a PCR, and returns its new value, or zeros where the TPM is disabled. */
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
  ordinal: 'PcrRead',
  auth: 'none',
  when: 'operational',
  input: { pcrIndex: u32 },
  output: { outDigest: digest },
  run({ state }, { pcrIndex }) {
    const outDigest = state.stclear.pcrs[pcrIndex];
    demand(outDigest !== undefined, 'BADINDEX');
    return { outDigest };
  },
});

/** Resets PCRs: all that are named, or none. */
export const pcrReset = command({
  ordinal: 'PCR_Reset',
  auth: 'none',
  when: 'working',
  input: { pcrSelection },
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

const quoteInput = { externalData: nonce, targetPCR: pcrSelection };

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Signs what PCRs hold. */
export const quote = command({
  ordinal: 'Quote',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 3 },
  handles: { keyHandle: 'key' },
  input: quoteInput,
  output: { pcrData: composite, sig: sizedBuffer },
  run(call, { keyHandle, externalData, targetPCR }) {
    const key = authoriseAttestation(call, keyHandle);
    const { pcrs } = call.state.stclear;
    const digestValue = compositeDigest(pcrs, targetPCR);
    const info = { version: STRUCT_VER_1_1, fixed: ascii('QUOT'), digestValue, externalData };
    const sig = signWith(key, sha1(encode(quoteInfo, info)));
    return { pcrData: compositeOf(pcrs, targetPCR), sig };
  },
});

/** Signs what PCRs hold, the locality, and which TPM this is. */
export const quote2 = command({
  ordinal: 'Quote2',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 19 },
  handles: { keyHandle: 'key' },
  input: { ...quoteInput, addVersion: bool },
  output: { pcrData: pcrInfoShort, versionInfo: sizedBuffer, sig: sizedBuffer },
  run(call, { keyHandle, externalData, targetPCR, addVersion }) {
    const key = authoriseAttestation(call, keyHandle);
    const infoShort = {
      pcrSelection: targetPCR,
      localityAtRelease: 2 ** call.locality,
      digestAtRelease: compositeDigest(call.state.stclear.pcrs, targetPCR),
    };
    const version = addVersion ? versionInfo() : new Uint8Array();
    const info = encode(quoteInfo2, { fixed: ascii('QUT2'), externalData, infoShort });
    const sig = signWith(key, sha1(concat(info, version)));
    return { pcrData: infoShort, versionInfo: version, sig };
  },
});

function authoriseAttestation(call: Call, keyHandle: number): KeptKey {
  const { key } = findKey(call, keyHandle);
  authoriseKey(call, key);
  demand(DIGEST_SCHEMES.includes(key.algorithmParms.sigScheme), 'INAPPROPRIATE_SIG');
  demand(ATTESTERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
  return key;
}
