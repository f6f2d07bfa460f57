/**
 * swtpm's AES keys. A passphrase becomes a key as swtpm derives it: by PBKDF2 with HMAC-SHA-512, the
 * salt `swtpm` and 1000 rounds, or as the first bytes of its SHA-512. Every byte of a passphrase file
 * counts, a newline at its end too.
 * @module
 */
import { createHash, pbkdf2Sync } from 'node:crypto';

/** How swtpm derives a key from a passphrase. */
export const SWTPM_KDFS = ['pbkdf2', 'sha512'] as const;
export type SwtpmKdf = (typeof SWTPM_KDFS)[number];

/** Bytes of a key, by swtpm's name of the mode. */
// biome-ignore format: table
export const SWTPM_MODES = {
  'aes-cbc':     16,
  'aes-128-cbc': 16,
  'aes-256-cbc': 32,
} as const;

const SALT = 'swtpm';
const ROUNDS = 1000;

/**
 * The key of a passphrase.
 * @param length bytes of the key: 16 or 32
 */
export function deriveSwtpmKey(passphrase: Uint8Array, length: 16 | 32, kdf: SwtpmKdf): Uint8Array {
  const key =
    kdf === 'pbkdf2'
      ? pbkdf2Sync(passphrase, SALT, ROUNDS, length, 'sha512')
      : createHash('sha512').update(passphrase).digest().subarray(0, length);
  return Uint8Array.from(key);
}
