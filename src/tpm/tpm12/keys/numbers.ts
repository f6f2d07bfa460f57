/**
 * The RSA numbers of a key.
 * @module
 */
import { isRsaKey, type RsaKey, type RsaPublicKey } from '../../crypto/rsa-keys.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import type { PublicPart } from '../structures/key.js';

/** Part 2 §10.1.1 TPM_RSA_KEY_PARMS: an exponent that is not given is 65537. */
const DEFAULT_EXPONENT = 65537;

const EXPONENTS = [3, 5, 7, 17, 257, 65537];

/**
 * The public exponent that key parameters name.
 * @throws TpmFault BAD_KEY_PROPERTY for one that is not usual
 */
export function exponentOf({ rsa }: PublicPart['algorithmParms']): number {
  demand(rsa !== undefined, 'BAD_KEY_PROPERTY');
  if (rsa.exponent.length === 0) return DEFAULT_EXPONENT;
  demand(rsa.exponent.length <= 8, 'BAD_PARAM_SIZE');
  const value = bigEndian(rsa.exponent);
  demand(EXPONENTS.includes(value), 'BAD_KEY_PROPERTY');
  return value;
}

/** An exponent as a number; it may be past what a number holds exactly. */
const bigEndian = (bytes: Uint8Array): number =>
  bytes.length === 0 ? DEFAULT_EXPONENT : bytes.reduce((sum, byte) => sum * 256 + byte, 0);

/** What of a key its RSA numbers are read from. */
type WithPrime = Pick<PublicPart, 'algorithmParms' | 'pubKey'> & {
  readonly secret: { readonly prime: Uint8Array } | undefined;
};

/** Whether the numbers of a key make an RSA key. */
export function isRsaPart(key: WithPrime): boolean {
  const numbers = rsaKeyOf(key);
  return numbers !== undefined && isRsaKey(numbers);
}

/** The public numbers of a key; undefined where it has none that this TPM works with. */
export function rsaPublicOf(
  key: Pick<PublicPart, 'algorithmParms' | 'pubKey'>,
): RsaPublicKey | undefined {
  const { rsa } = key.algorithmParms;
  if (rsa === undefined || key.pubKey.length > LIMITS.srkBits / 8) return undefined;
  const exponent = bigEndian(rsa.exponent);
  return Number.isSafeInteger(exponent) ? { modulus: key.pubKey, exponent } : undefined;
}

/**
 * The numbers of a kept key; undefined where it is no RSA key with a private part, or a larger one
 * than this TPM makes.
 */
export function rsaKeyOf(key: WithPrime): RsaKey | undefined {
  const open = rsaPublicOf(key);
  const prime = key.secret?.prime;
  if (open === undefined || prime === undefined) return undefined;
  return prime.length > LIMITS.srkBits / 16 ? undefined : { ...open, prime };
}
