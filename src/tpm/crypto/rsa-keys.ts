/**
 * RSA keys: modulus, exponent and one prime, as libtpms keeps them. What OpenSSL needs besides is
 * computed at a key's first use, and kept beside it.
 * @module
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { toNumber } from './mod-exp.js';

/** The parts of an RSA key, big-endian, the modulus and the prime at their full length. */
export interface RsaKey {
  readonly modulus: Uint8Array;
  readonly exponent: number;
  readonly prime: Uint8Array;
}

/** The public numbers of an RSA key. */
export type RsaPublicKey = Omit<RsaKey, 'prime'>;

/** Makes an RSA key. A test passes its own, for a fixed key. */
export type GenerateKey = (bits: number, exponent: number) => Omit<RsaKey, 'exponent'>;

/**
 * Makes an RSA key by OpenSSL. The key leaves its job as bytes: the KeyObject of a job must not be
 * exported as JWK. Node 20 holds a lock of the key meanwhile, and a garbage collection that finds the job
 * unused then waits for the same lock, in the same thread, for ever.
 */
export const generateRsaKey: GenerateKey = (bits, exponent) => {
  const { privateKey: der } = generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicExponent: exponent,
    publicKeyEncoding: { type: 'pkcs1', format: 'der' },
    privateKeyEncoding: { type: 'pkcs1', format: 'der' },
  });
  const { n, p } = createPrivateKey({ key: der, type: 'pkcs1', format: 'der' }).export({
    format: 'jwk',
  });
  der.fill(0);
  return { modulus: fromBase64(n!, bits / 8), prime: fromBase64(p!, bits / 16) };
};

/**
 * Whether numbers make an RSA key: the prime divides the modulus, and the exponent has an inverse.
 */
export function isRsaKey(key: RsaKey): boolean {
  try {
    jwkOf(key);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/**
 * OpenSSL's forms of each modulus in use, with what it computes at a key's first use. They go when
 * the modulus goes.
 */
const privateKeys = new WeakMap<Uint8Array, KeyObject>();

const publicKeys = new WeakMap<Uint8Array, KeyObject>();

/** @throws where the numbers are not those of an RSA key */
export function privateKeyOf(key: RsaKey): KeyObject {
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

export function publicKeyOf({ modulus, exponent }: RsaPublicKey): KeyObject {
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
