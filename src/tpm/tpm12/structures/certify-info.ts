/**
 * Signed structures (TPM Main Part 2, §11): what a TPM signs about a key, about PCRs, and on its
 * own account.
 * @module
 */
import { bool, bytes, encode, type Of, struct, u8, u16, u32 } from '../../../wire/codec.js';
import { digest, nonce, structVer } from './basic.js';
import { embedded, sizedBuffer, structure } from './codecs.js';
import { keyParms } from './key-parms.js';
import { pcrInfo, pcrInfoShort } from './pcr-info.js';

// biome-ignore format: table
const common = {
  keyUsage:        u16,
  keyFlags:        u32,
  authDataUsage:   u8,
  algorithmParms:  keyParms,
  pubkeyDigest:    digest,
  data:            nonce,
  parentPCRStatus: bool,
};

/** Part 2 §11.1 TPM_CERTIFY_INFO. */
export const certifyInfo = struct({ version: structVer, ...common, pcrInfo: embedded(pcrInfo) });

/** Part 2 §11.2 TPM_CERTIFY_INFO2. */
export const certifyInfo2 = structure(0x0029, {
  fill: u8,
  payloadType: u8,
  ...common,
  pcrInfo: embedded(pcrInfoShort),
  migrationAuthority: sizedBuffer,
});

export type CertifyInfo = Of<typeof certifyInfo>;

export type CertifyInfo2 = Of<typeof certifyInfo2>;

// biome-ignore format: table
export const quoteInfo = struct({
  version:      structVer,
  fixed:        bytes(4),
  digestValue:  digest,
  externalData: nonce,
});

// biome-ignore format: table
export const quoteInfo2 = structure(0x0036, {
  fixed:        bytes(4),
  externalData: nonce,
  infoShort:    pcrInfoShort,
});

// biome-ignore format: table
const signInfo = structure(0x0005, {
  fixed:  bytes(4),
  replay: nonce,
  data:   sizedBuffer,
});

/** The bytes of a TPM_SIGN_INFO; the 4 letters of `fixed` are its kind. */
export const encodeSignInfo = (
  fixed: 'SIGN' | 'TSTP' | 'ADIG' | 'TRAN',
  replay: Uint8Array,
  data: Uint8Array,
): Uint8Array => encode(signInfo, { fixed: new TextEncoder().encode(fixed), replay, data });
