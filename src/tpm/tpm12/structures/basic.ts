/**
 * Basic structures (TPM Main Part 2, §5): digests, nonces and secrets of 20 bytes, and versions.
 * @module
 */
import { bytes, secretOf, u32 } from '../../../wire/codec.js';
import { restricted, structure } from './codecs.js';

/** §5.4 TPM_DIGEST, §5.5 TPM_NONCE, §5.6 TPM_AUTHDATA and TPM_SECRET: 20 bytes each. */
export const digest = bytes(20);
export const nonce = bytes(20);
export const secret = secretOf(bytes(20));
export const noBytes20 = (): Uint8Array => new Uint8Array(20);

/** §5.1 TPM_STRUCT_VER. */
export const structVer = bytes(4);

export const STRUCT_VER_1_1 = Uint8Array.of(1, 1, 0, 0);

/** §5.1 TPM_STRUCT_VER where it must say 1.1. */
export const structVer11 = restricted(structVer, ([a, b]) => a === 1 && b === 1, 'BAD_VERSION');

/** §5.13 TPM_COUNTER_VALUE: the public part of a counter. */
// biome-ignore format: table
export const counterValue = structure(0x000e, {
  label:   bytes(4),
  counter: u32,
});
