/**
 * AES-128 in the modes that a TPM uses.
 * @module
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { plain } from './hash.js';

/** AES-128 in counter mode, which encrypts and decrypts alike. */
export function ctrCrypt(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-ctr', key, counter);
  return plain(Buffer.concat([cipher.update(data), cipher.final()]));
}

/** AES-128 as a stream, in counter or output feedback mode: it encrypts and decrypts alike. */
export function cipherStream(
  mode: 'ctr' | 'ofb',
  key: Uint8Array,
  start: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(`aes-128-${mode}`, key, start);
  return plain(Buffer.concat([cipher.update(data), cipher.final()]));
}

const BLOCK_BYTES = 16;

/** AES-128 in chains of blocks from zeros on, padded as PKCS #7 has it. */
export function cbcEncrypt(key: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-cbc', key, new Uint8Array(BLOCK_BYTES));
  return plain(Buffer.concat([cipher.update(data), cipher.final()]));
}

/** What `cbcEncrypt` encrypted; undefined where it is not such a thing. */
export function cbcDecrypt(key: Uint8Array, data: Uint8Array): Uint8Array | undefined {
  try {
    const cipher = createDecipheriv('aes-128-cbc', key, new Uint8Array(BLOCK_BYTES));
    return plain(Buffer.concat([cipher.update(data), cipher.final()]));
  } catch {
    return undefined;
  }
}
