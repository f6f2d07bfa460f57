/**
 * The cryptography of a TPM 1.2: SHA-1, HMAC-SHA1, RSA with OAEP under the label "TCPA" (TPM Main
 * Part 1, §31). Keys lie as libtpms keeps them, modulus, exponent and one prime; what OpenSSL wants
 * besides is computed when a key is first used, and kept beside it.
 * @module
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  privateDecrypt,
  privateEncrypt,
  publicDecrypt,
  publicEncrypt,
  timingSafeEqual,
} from 'node:crypto';
import { concat, equal } from '../../wire/codec.js';
import { toNumber } from './mod-exp.js';

const plain = (buffer: Uint8Array): Uint8Array => new Uint8Array(buffer);

const SHA1_BYTES = 20;

/**
 * In one call: that is much cheaper than a hash object for what is as short as a command. The digest
 * comes as a string of Latin-1, since making a Buffer for it would take longer than SHA-1 itself.
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

/** Whether two secrets of one length are the same, in a time that does not tell where they differ. */
export const sameSecret = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b);

/** Overwrites secrets whose object goes. Best effort: the runtime may have copied them before. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

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

/** Two runs of bytes of one length, added bit by bit. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const sum = a.slice();
  for (let at = 0; at < sum.length; at += 1) sum[at]! ^= b[at]!;
  return sum;
}

/** The parts of an RSA key, big-endian, the modulus and the prime at their full length. */
export interface RsaKey {
  readonly modulus: Uint8Array;
  readonly exponent: number;
  readonly prime: Uint8Array;
}

/** Makes an RSA key. A test passes its own, for a fixed key. */
export type GenerateKey = (bits: number, exponent: number) => Omit<RsaKey, 'exponent'>;

export const generateRsaKey: GenerateKey = (bits, exponent) => {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicExponent: exponent,
  });
  const { n, p } = privateKey.export({ format: 'jwk' });
  return { modulus: fromBase64(n!, bits / 8), prime: fromBase64(p!, bits / 16) };
};

const LABEL_DIGEST = sha1(new TextEncoder().encode('TCPA'));

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

/** The public numbers of an RSA key. */
export type RsaPublicKey = Omit<RsaKey, 'prime'>;

/**
 * Encrypts `message` to a key with OAEP; the 20 bytes of `seed` are what is random in it. Undefined
 * where the message is too long for the key, or the key is none.
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
 * Decrypts what was encrypted to a key in the way of PKCS #1 v1.5. The padding is taken off here, as
 * node:crypto does not do it any more.
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

/** Signs `message` in the way of PKCS #1 v1.5, as it is; undefined where the key is not fit for it. */
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

/** Whether numbers make an RSA key: the prime divides the modulus, and the exponent has an inverse. */
export function isRsaKey(key: RsaKey): boolean {
  try {
    jwkOf(key);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
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

/**
 * OpenSSL's forms of each modulus in use, with what it computes at a key's first use. They go when the
 * modulus goes.
 */
const privateKeys = new WeakMap<Uint8Array, KeyObject>();
const publicKeys = new WeakMap<Uint8Array, KeyObject>();

/** @throws where the numbers are not those of an RSA key */
function privateKeyOf(key: RsaKey): KeyObject {
  const known = privateKeys.get(key.modulus);
  if (known !== undefined) return known;
  const made = createPrivateKey({ key: jwkOf(key), format: 'jwk' });
  privateKeys.set(key.modulus, made);
  return made;
}

function jwkOf({ modulus, exponent, prime }: RsaKey): Record<string, string> {
  const n = toNumber(modulus);
  const e = BigInt(exponent);
  const p = toNumber(prime);
  if (p < 2n || n % p !== 0n) throw new RangeError('the prime does not divide the modulus');
  const q = n / p;
  const d = inverse(e, (p - 1n) * (q - 1n));
  // biome-ignore format: table
  const numbers = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const fields = Object.entries(numbers).map(([name, value]) => [name, toBase64(value)]);
  return { kty: 'RSA', ...Object.fromEntries(fields) };
}

/** The number x below `modulus` with a·x ≡ 1, by Euclid. */
function inverse(a: bigint, modulus: bigint): bigint {
  let [r, next] = [modulus, a % modulus];
  let [x, nextX] = [0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next] = [next, r - quotient * next];
    [x, nextX] = [nextX, x - quotient * nextX];
  }
  if (r !== 1n) throw new RangeError('there is no inverse');
  return x < 0n ? x + modulus : x;
}

function publicKeyOf({ modulus, exponent }: RsaPublicKey): KeyObject {
  const known = publicKeys.get(modulus);
  if (known !== undefined) return known;
  const made = createPublicKey({
    key: { kty: 'RSA', n: toBase64(toNumber(modulus)), e: toBase64(BigInt(exponent)) },
    format: 'jwk',
  });
  publicKeys.set(modulus, made);
  return made;
}

function toBase64(value: bigint): string {
  const digits = value.toString(16);
  return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex').toString(
    'base64url',
  );
}

function fromBase64(text: string, length: number): Uint8Array {
  const held = Buffer.from(text, 'base64url');
  const whole = new Uint8Array(length);
  whole.set(held, length - held.length);
  return whole;
}
