/**
 * DAA structures (TPM Main Part 2, §22).
 * @module
 */
import { bool, bytes, secretOf, struct, u8, u32 } from '../../../wire/codec.js';
import { digest, secret } from './basic.js';
import { sizedBuffer, structure } from './codecs.js';

/** §22.1: sizes in bytes, and §22.2: exponents of 2. */
// biome-ignore format: table
export const DaaSize = { NT: 20, v0: 128, v1: 192, NE: 256, w: 256, issuerModulus: 256 } as const;

export const SCRATCH_BYTES = DaaSize.issuerModulus;

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
  rekey:        secret,
  count:        u32,
});

/** §22.5 TPM_DAA_CONTEXT. The scratch keeps its bytes when it counts as empty, as in libtpms. */
// biome-ignore format: table
export const daaContext = structure(0x002d, {
  digestContext:  digest,
  digest:         secret,
  contextSeed:    secret,
  scratch:        secretOf(bytes(SCRATCH_BYTES)),
  stage:          u8,
  scratchIsEmpty: bool,
});

/** §22.6 TPM_DAA_JOINDATA. */
// biome-ignore format: table
export const daaJoinData = struct({
  u0:       secretOf(bytes(128)),
  u1:       secretOf(bytes(138)),
  digestN0: digest,
});

/** §4.1: the resource types of what a blob holds. */
export const DaaResource = { TPM: 8, V0: 9, V1: 10 } as const;
export type DaaResource = (typeof DaaResource)[keyof typeof DaaResource];

// biome-ignore format: table
export const daaBlob = structure(0x002c, {
  resourceType:   u32,
  label:          bytes(16),
  blobIntegrity:  digest,
  additionalData: sizedBuffer,
  sensitiveData:  sizedBuffer,
});

export const daaSensitive = structure(0x0031, { internalData: secretOf(sizedBuffer) });
