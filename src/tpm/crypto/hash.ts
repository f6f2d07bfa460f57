/**
 * SHA-1 and HMAC-SHA1.
 * @module
 */
import { createHmac, hash } from 'node:crypto';
import { concat } from '../../wire/codec.js';

export const plain = (buffer: Uint8Array): Uint8Array => new Uint8Array(buffer);

export const SHA1_BYTES = 20;

/**
 * In one call: that is much cheaper than a hash object for what is as short as a command. The
 * digest comes as a string of Latin-1, since making a Buffer for it would take longer than SHA-1
 * itself.
 */
export function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = parts.length === 1 ? parts[0]! : concat(...parts);
  const text = hash('sha1', whole, 'binary');
  const digest = new Uint8Array(SHA1_BYTES);
  for (let at = 0; at < SHA1_BYTES; at += 1) digest[at] = text.charCodeAt(at);
  return digest;
}

export function hmacSha1(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('sha1', key);
  for (const part of parts) hmac.update(part);
  return plain(hmac.digest());
}
