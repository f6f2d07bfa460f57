/**
 * Identity structures (TPM Main Part 2, §12).
 * @module
 */
import { sized, struct, u16, u32 } from '../../../wire/codec.js';
import { digest, structVer } from './basic.js';
import { sizedBuffer, structure } from './codecs.js';
import { pubkey } from './key-parms.js';
import { pcrInfoShort } from './pcr-info.js';

// biome-ignore format: table
export const identityContents = struct({
  ver:               structVer,
  ordinal:           u32,
  labelPrivCADigest: digest,
  identityPubKey:    pubkey,
});

/** Part 2 §5.13 TPM_SYMMETRIC_KEY. */
export const symmetricKey = struct({ algId: u32, encScheme: u16, data: sized(u16) });

export const asymCaContents = struct({ sessionKey: symmetricKey, idDigest: digest });

export const ekBlob = structure(0x000c, { ekType: u16, blob: sizedBuffer });

// biome-ignore format: table
export const ekBlobActivate = structure(0x002b, {
  sessionKey: symmetricKey,
  idDigest:   digest,
  pcrInfo:    pcrInfoShort,
});

export const TAG_EK_BLOB = Uint8Array.of(0x00, 0x0c);

export const EK_TYPE_ACTIVATE = 1;
