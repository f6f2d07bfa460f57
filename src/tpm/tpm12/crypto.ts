/**
 * The cryptography of a TPM 1.2: SHA-1, HMAC-SHA1, RSA with OAEP under the label "TCPA" (TPM Main
 * Part 1, §31). Keys lie as libtpms keeps them, modulus, exponent and one prime; what OpenSSL wants
 * besides is computed when a key is first used, and kept beside it.
 * @module
 */
import {
  constants,
  createCipheriv,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  timingSafeEqual,
} from 'node:crypto';
import { concat } from '../../wire/codec.js';

const plain = (buffer: Uint8Array): Uint8Array => new Uint8Array(buffer);

/** In one call: that is much cheaper than a hash object for what is as short as a command. */
export const sha1 = (...parts: readonly Uint8Array[]): Uint8Array =>
  plain(hash('sha1', parts.length === 1 ? parts[0]! : concat(...parts), 'buffer'));

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

/** Two runs of bytes of one length, added bit by bit. */
export const xor = (a: Uint8Array, b: Uint8Array): Uint8Array =>
  a.map((byte, at) => (byte ^ b[at]!) >>> 0);

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

const LABEL = new TextEncoder().encode('TCPA');
const OAEP = {
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: 'sha1',
  oaepLabel: LABEL,
} as const;

/** Decrypts what was encrypted to a key; undefined where that does not come out. */
export function oaepDecrypt(key: RsaKey, message: Uint8Array): Uint8Array | undefined {
  try {
    return plain(privateDecrypt({ key: privateKeyOf(key), ...OAEP }, message));
  } catch {
    return undefined;
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

/** OpenSSL's form of each modulus in use. It goes when the modulus goes. */
const privateKeys = new WeakMap<Uint8Array, KeyObject>();

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

const toNumber = (bytes: Uint8Array): bigint =>
  bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

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
