/**
 * RSA encryption and signatures (PKCS #1) with a TPM's keys.
 * @module
 */
import {
  constants,
  privateDecrypt,
  privateEncrypt,
  publicDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { concat, equal } from '../../wire/codec.js';
import { plain, SHA1_BYTES, sha1 } from './hash.js';
import { LABEL_DIGEST, oaepPad } from './oaep.js';
import { privateKeyOf, publicKeyOf, type RsaKey, type RsaPublicKey } from './rsa-keys.js';
import { sameSecret } from './secrets.js';

/**
 * Encrypts `message` to a key with OAEP; the 20 bytes of `seed` are what is random in it. Undefined
 * where the message is too long for the key, or the key is invalid.
 */
export function oaepEncrypt(
  key: RsaPublicKey,
  message: Uint8Array,
  seed: Uint8Array,
): Uint8Array | undefined {
  const room = key.modulus.length - 2 * SHA1_BYTES - 2;
  if (message.length > room) return undefined;
  const block = oaepPad(message, seed, LABEL_DIGEST, key.modulus.length - 1);
  const padded = concat(Uint8Array.of(0), block);
  try {
    const asked = { key: publicKeyOf(key), padding: constants.RSA_NO_PADDING };
    return plain(publicEncrypt(asked, padded));
  } catch {
    return undefined;
  }
}

const OAEP = {
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: 'sha1',
  oaepLabel: new TextEncoder().encode('TCPA'),
} as const;

/** Decrypts what was encrypted to a key; undefined where that does not come out. */
export function oaepDecrypt(key: RsaKey, message: Uint8Array): Uint8Array | undefined {
  try {
    return plain(privateDecrypt({ key: privateKeyOf(key), ...OAEP }, message));
  } catch {
    return undefined;
  }
}

const PKCS1_HEAD_BYTES = 11;

/**
 * Decrypts what was encrypted to a key in the way of PKCS #1 v1.5. The padding is taken off here,
 * as node:crypto does not do it any more.
 */
export function pkcs1Decrypt(key: RsaKey, message: Uint8Array): Uint8Array | undefined {
  if (message.length > key.modulus.length) return undefined;
  const whole = concat(new Uint8Array(key.modulus.length - message.length), message);
  try {
    const asked = { key: privateKeyOf(key), padding: constants.RSA_NO_PADDING };
    const padded = plain(privateDecrypt(asked, whole));
    const end = padded.indexOf(0, 2);
    const sound = padded[0] === 0 && padded[1] === 2 && end >= PKCS1_HEAD_BYTES - 1;
    return sound ? padded.slice(end + 1) : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 8017 §9.2: what stands before a SHA-1 digest in a signature of PKCS #1 v1.5. */
const SHA1_DIGEST_INFO = Uint8Array.of(
  ...[0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14],
);

/**
 * Signs `message` in the way of PKCS #1 v1.5, as it is; undefined where the key is not fit for it.
 */
export function pkcs1Sign(key: RsaKey, message: Uint8Array): Uint8Array | undefined {
  try {
    const asked = { key: privateKeyOf(key), padding: constants.RSA_PKCS1_PADDING };
    return plain(privateEncrypt(asked, message));
  } catch {
    return undefined;
  }
}

/** Signs a SHA-1 digest in the way of PKCS #1 v1.5. */
export const pkcs1SignSha1 = (key: RsaKey, digest: Uint8Array): Uint8Array | undefined =>
  pkcs1Sign(key, concat(SHA1_DIGEST_INFO, digest));

/** Whether a SHA-1 digest was signed in the way of PKCS #1 v1.5. */
export function pkcs1Verify(key: RsaPublicKey, digest: Uint8Array, signature: Uint8Array): boolean {
  try {
    const asked = { key: publicKeyOf(key), padding: constants.RSA_PKCS1_PADDING };
    return equal(plain(publicDecrypt(asked, signature)), concat(SHA1_DIGEST_INFO, digest));
  } catch {
    return false;
  }
}

/** Whether a key decrypts what is encrypted to it: the self-test of the Endorsement Key. */
export function isSound(key: RsaKey): boolean {
  try {
    const clear = sha1(key.modulus);
    const sealed = publicEncrypt({ key: privateKeyOf(key), ...OAEP }, clear);
    return sameSecret(clear, oaepDecrypt(key, sealed) ?? new Uint8Array());
  } catch {
    return false;
  }
}
