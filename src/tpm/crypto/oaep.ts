/**
 * Padding of PKCS #1: MGF1 and EME-OAEP with SHA-1, under the label "TCPA" (TPM Main Part 1, §31).
 * @module
 */
import { concat } from '../../wire/codec.js';
import { SHA1_BYTES, sha1 } from './hash.js';
import { xor } from './secrets.js';

export const LABEL_DIGEST = sha1(new TextEncoder().encode('TCPA'));

/** PKCS #1, MGF1 with SHA-1. */
export function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  const input = concat(seed, new Uint8Array(4));
  const counter = new DataView(input.buffer, seed.length);
  for (let count = 0; SHA1_BYTES * count < length; count += 1) {
    counter.setUint32(0, count);
    blocks.push(sha1(input));
  }
  return concat(...blocks).slice(0, length);
}

/** PKCS #1, EME-OAEP without the zero in front: `length` bytes for a message that fits. */
export function oaepPad(
  message: Uint8Array,
  seed: Uint8Array,
  hash: Uint8Array,
  length: number,
): Uint8Array {
  const zeros = new Uint8Array(length - message.length - 2 * SHA1_BYTES - 1);
  const block = concat(hash, zeros, Uint8Array.of(1), message);
  const masked = xor(block, mgf1(seed, block.length));
  return concat(xor(seed, mgf1(masked, SHA1_BYTES)), masked);
}

/** What `oaepPad` padded; undefined where it is no such thing. */
export function oaepUnpad(
  padded: Uint8Array,
): { message: Uint8Array; seed: Uint8Array; hash: Uint8Array } | undefined {
  if (padded.length < 2 * SHA1_BYTES + 1) return undefined;
  const masked = padded.slice(SHA1_BYTES);
  const seed = xor(padded.slice(0, SHA1_BYTES), mgf1(masked, SHA1_BYTES));
  const block = xor(masked, mgf1(seed, masked.length));
  const rest = block.slice(SHA1_BYTES);
  const start = rest.findIndex(byte => byte !== 0);
  if (rest[start] !== 1) return undefined;
  return { message: rest.slice(start + 1), seed, hash: block.slice(0, SHA1_BYTES) };
}
