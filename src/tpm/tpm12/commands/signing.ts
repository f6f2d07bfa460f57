/**
 * Signing (TPM Main Part 3, §13.5 TPM_Sign, §16.3 and §16.5 TPM_Quote and TPM_Quote2, §23.2
 * TPM_TickStampBlob): each message is a structure of its own kind, so that no signature passes for
 * another.
 * @module
 */
import { bool, bytes, concat, encode, struct, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/rsa.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { composite, compositeDigest, compositeOf } from '../state/pcr.js';
import {
  currentTicks,
  digest,
  nonce,
  pcrInfoShort,
  pcrSelection,
  SigScheme,
  STRUCT_VER_1_1,
  sizedBuffer,
  structure,
  structVer,
} from '../structures/basic.js';
import { type KeptKey, KeyUsage } from '../structures/key.js';
import { encodeSignInfo } from '../structures/sign-info.js';
import { ticksNow } from '../ticks.js';
import { versionInfo } from '../version.js';

const SIGNERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.LEGACY];
const ATTESTERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.IDENTITY, KeyUsage.LEGACY];
const DIGEST_SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];
const DIGEST_BYTES = 20;
/** Bytes that PKCS #1 v1.5 needs around a message. */
const PADDING_BYTES = 11;

/** Signs what the guest sends, in the scheme of the key. */
export const sign = command({
  ordinal: 0x3c,
  name: 'TPM_Sign',
  auth: 'optional',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ keyHandle: u32, areaToSign: sizedBuffer }),
  output: struct({ sig: sizedBuffer }),
  run(call, { keyHandle, areaToSign }) {
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    demand(areaToSign.length > 0, 'BAD_PARAMETER');
    demand(SIGNERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
    return { sig: signWith(key, messageOf(call, key, areaToSign)) };
  },
});

function messageOf(call: Call, { algorithmParms }: KeptKey, area: Uint8Array): Uint8Array {
  switch (algorithmParms.sigScheme) {
    case SigScheme.PKCS1_SHA1:
      demand(area.length === DIGEST_BYTES, 'BAD_PARAMETER');
      return area;
    case SigScheme.PKCS1_INFO:
      demand(call.isAuthorised, 'BAD_PARAMETER');
      return sha1(encodeSignInfo('SIGN', call.auth.nonceOdd, area));
    default: {
      const room = Math.floor(algorithmParms.rsa!.keyLength / 8) - PADDING_BYTES;
      demand(area.length <= room, 'BAD_PARAMETER');
      return area;
    }
  }
}

const quoteInput = { keyHandle: u32, externalData: nonce, targetPCR: pcrSelection };

// biome-ignore format: table
const quoteInfo = struct({
  version:      structVer,
  fixed:        bytes(4),
  digestValue:  digest,
  externalData: nonce,
});
// biome-ignore format: table
const quoteInfo2 = structure(0x0036, {
  fixed:        bytes(4),
  externalData: nonce,
  infoShort:    pcrInfoShort,
});
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Signs what PCRs hold. */
export const quote = command({
  ordinal: 0x16,
  name: 'TPM_Quote',
  auth: 'optional',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct(quoteInput),
  output: struct({ pcrData: composite, sig: sizedBuffer }),
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
  ordinal: 0x3e,
  name: 'TPM_Quote2',
  auth: 'optional',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ ...quoteInput, addVersion: bool }),
  output: struct({ pcrData: pcrInfoShort, versionInfo: sizedBuffer, sig: sizedBuffer }),
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

const stamped = struct({ digestToStamp: digest, currentTicks });

/** Signs a digest together with the ticks. */
export const tickStampBlob = command({
  ordinal: 0xf2,
  name: 'TPM_TickStampBlob',
  auth: 'optional',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ keyHandle: u32, antiReplay: nonce, digestToStamp: digest }),
  output: struct({ currentTicks, sig: sizedBuffer }),
  run(call, { keyHandle, antiReplay, digestToStamp }) {
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    demand(ATTESTERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
    demand(DIGEST_SCHEMES.includes(key.algorithmParms.sigScheme), 'INAPPROPRIATE_SIG');
    const ticks = ticksNow(call.tpm);
    const data = encode(stamped, { digestToStamp, currentTicks: ticks });
    return {
      currentTicks: ticks,
      sig: signWith(key, sha1(encodeSignInfo('TSTP', antiReplay, data))),
    };
  },
});
