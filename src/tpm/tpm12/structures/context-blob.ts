/**
 * Context structures (TPM Main Part 2, §18).
 * @module
 */
import { bytes, type Of, u32 } from '../../../wire/codec.js';
import { digest, nonce } from './basic.js';
import { sizedBuffer, structure } from './codecs.js';

// biome-ignore format: table
export const contextBlob = structure(0x0001, {
  resourceType:    u32,
  handle:          u32,
  label:           bytes(16),
  contextCount:    u32,
  integrityDigest: digest,
  additionalData:  sizedBuffer,
  sensitiveData:   sizedBuffer,
});

export type ContextBlob = Of<typeof contextBlob>;

// biome-ignore format: table
export const contextSensitive = structure(0x0002, {
  contextNonce: nonce,
  internalData: sizedBuffer,
});
