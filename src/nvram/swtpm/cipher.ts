/**
 * swtpm's encryption: AES-CBC, then HMAC-SHA-256 under the same key over ciphertext and IV. Two things
 * differ from what is usual, and files of swtpm have them: the padding reaches to a multiple of the
 * *key's* length, so that a standard unpadder refuses half of those of a 256-bit key; and the IV is as
 * long as the key, of which AES uses the first 16 bytes and the HMAC all.
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { concat } from '../../wire/codec.js';
import type { Entropy } from '../image/cipher.js';

const AES_BLOCK_BYTES = 16;
export const HMAC_BYTES = 32;

/** What lies in a blob: ciphertext, HMAC and IV. An absent IV is zeros. */
export interface Box {
  readonly ciphertext: Uint8Array;
  readonly hmac: Uint8Array;
  readonly iv: Uint8Array | undefined;
}

/**
 * The plaintext; `unauthentic` where key and box do not fit, or why the box has no such form.
 * @param key 16 or 32 bytes
 */
export function openBox(
  { ciphertext, hmac, iv }: Box,
  key: Uint8Array,
): { readonly plain: Uint8Array } | { readonly fault: 'unauthentic' | (string & {}) } {
  if (hmac.length < HMAC_BYTES) return { fault: `its HMAC has ${hmac.length} bytes` };
  const expected = hmacOf(key, ciphertext, iv ?? new Uint8Array());
  if (!timingSafeEqual(expected, hmac.subarray(0, HMAC_BYTES))) return { fault: 'unauthentic' };
  if (iv !== undefined && iv.length < AES_BLOCK_BYTES) return { fault: 'its IV is too short' };
  const { length } = ciphertext;
  if (length < key.length || length % AES_BLOCK_BYTES !== 0) {
    return { fault: `${length} bytes of ciphertext are not whole blocks` };
  }
  const aes = createDecipheriv(algorithmOf(key), key, ivOf(iv ?? new Uint8Array(AES_BLOCK_BYTES)));
  aes.setAutoPadding(false);
  const padded = concat(aes.update(ciphertext), aes.final());
  const plain = unpadded(padded, key.length);
  padded.fill(0);
  return plain === undefined ? { fault: 'its padding is invalid' } : { plain };
}

/** A box around `plain`, with a fresh IV. */
export function sealBox(
  plain: Uint8Array,
  key: Uint8Array,
  entropy: Entropy,
): Box & { readonly iv: Uint8Array } {
  const iv = entropy(key.length);
  const count = key.length - (plain.length % key.length);
  const aes = createCipheriv(algorithmOf(key), key, ivOf(iv));
  aes.setAutoPadding(false);
  const ciphertext = concat(
    aes.update(plain),
    aes.update(new Uint8Array(count).fill(count)),
    aes.final(),
  );
  return { ciphertext, hmac: hmacOf(key, ciphertext, iv), iv };
}

const algorithmOf = (key: Uint8Array): string => `aes-${key.length * 8}-cbc`;
const ivOf = (iv: Uint8Array): Uint8Array => iv.subarray(0, AES_BLOCK_BYTES);

const hmacOf = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array => {
  const hmac = createHmac('sha256', key);
  for (const part of parts) hmac.update(part);
  return new Uint8Array(hmac.digest());
};

function unpadded(bytes: Uint8Array, countMax: number): Uint8Array | undefined {
  const count = bytes.at(-1) ?? 0;
  if (count === 0 || count > countMax || count > bytes.length) return undefined;
  const padding = bytes.subarray(bytes.length - count);
  return padding.every(byte => byte === count) ? bytes.slice(0, bytes.length - count) : undefined;
}
