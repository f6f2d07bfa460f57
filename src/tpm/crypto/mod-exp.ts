/**
 * Powers modulo an odd number, for the proofs of DAA. node:crypto has no such function, but it has
 * Diffie-Hellman keys (PKCS #3, wrapped as PKCS #8): a private key is an exponent, and the public
 * half that OpenSSL computes when it reads one is the power.
 *
 * OpenSSL does this in a time that depends on the sizes of the three numbers only. It takes moduli
 * of 512 to 10000 bits; others go through BigInt, whose time depends on the exponent. That reveals
 * nothing new: the modulus is an issuer's parameter, the TPM's secrets differ from issuer to
 * issuer, and an issuer that chooses a modulus with easy discrete logarithms learns them without a
 * clock. The rest of DAA's arithmetic on secrets is BigInt too: not constant in time, and never
 * wiped, since only the runtime frees a BigInt.
 *
 * The largest numbers that fit into a command take OpenSSL 0.1 s and BigInt under 1 s.
 * @module
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { concat } from '../../wire/codec.js';

/** X.690: the types of DER that a key is made of. */
const Type = { INTEGER: 2, OCTET_STRING: 4, SEQUENCE: 0x30 } as const;
/** PKCS #3 dhKeyAgreement, 1.2.840.113549.1.3.1, as DER. */
const DH = Uint8Array.of(0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01);

/** The number that big-endian bytes are; no bytes are zero. */
export const toNumber = (bytes: Uint8Array): bigint =>
  bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

/** The bytes of a number, and not one more than it takes: none for zero. */
export function toBytes(value: bigint): Uint8Array {
  const digits = value === 0n ? '' : value.toString(16);
  const even = digits.padStart(digits.length + (digits.length % 2), '0');
  return new Uint8Array(Buffer.from(even, 'hex'));
}

/**
 * base^exponent mod modulus, for an odd modulus.
 * @throws RangeError for an even one
 */
export function modExp(base: bigint, exponent: bigint, modulus: bigint): bigint {
  if (modulus % 2n === 0n) throw new RangeError('the modulus is even');
  return modExpByOpenSsl(base, exponent, modulus) ?? modExpByBigInt(base, exponent, modulus);
}

/** The same by OpenSSL; undefined for a modulus that it does not take. */
export function modExpByOpenSsl(
  base: bigint,
  exponent: bigint,
  modulus: bigint,
): bigint | undefined {
  const group = der(Type.SEQUENCE, integer(modulus), integer(base));
  const algorithm = der(Type.SEQUENCE, DH, group);
  const secret = der(Type.OCTET_STRING, integer(exponent));
  const key = Buffer.from(der(Type.SEQUENCE, integer(0n), algorithm, secret));
  try {
    const made = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
    return lastInteger(made.export({ format: 'der', type: 'spki' }), algorithm.length);
  } catch {
    return undefined;
  }
}

/**
 * The same four bits of the exponent at a time: a guest may send numbers that make it take long.
 */
function modExpByBigInt(base: bigint, exponent: bigint, modulus: bigint): bigint {
  const powers = [1n % modulus];
  while (powers.length < 16) powers.push((powers.at(-1)! * (base % modulus)) % modulus);
  let result = powers[0]!;
  for (const digit of exponent.toString(16)) {
    for (let bit = 0; bit < 4; bit += 1) result = (result * result) % modulus;
    result = (result * powers[Number.parseInt(digit, 16)]!) % modulus;
  }
  return result;
}

function der(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  const { length } = content;
  const digits = length < 0x80 ? [length] : [...toBytes(BigInt(length))];
  const head = length < 0x80 ? digits : [0x80 + digits.length, ...digits];
  return concat(Uint8Array.of(type, ...head), content);
}

/** A number that is not negative: a zero stands before a first bit that would say so. */
function integer(value: bigint): Uint8Array {
  const bytes = toBytes(value);
  const bare = bytes.length > 0 && bytes[0]! < 0x80;
  return der(Type.INTEGER, bare ? bytes : concat(Uint8Array.of(0), bytes));
}

/** The number in a SubjectPublicKeyInfo, a bit string of an integer behind the algorithm. */
function lastInteger(info: Uint8Array, algorithmBytes: number): bigint {
  const bits = headBytes(info, 0) + algorithmBytes;
  const inner = bits + headBytes(info, bits) + 1;
  return toNumber(info.subarray(inner + headBytes(info, inner)));
}

/** Bytes of type and length. */
const headBytes = (bytes: Uint8Array, at: number): number =>
  bytes[at + 1]! < 0x80 ? 2 : 2 + (bytes[at + 1]! - 0x80);
