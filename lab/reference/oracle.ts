/**
 * What another TPM drew at random, found out from what it said: nonces and handles stand in its
 * responses, keys it made can be told by its own keys, which decrypt them, and so can the seed of
 * every OAEP block. Our engine is given the same, and must then say the same to the last byte.
 */
import { constants, createPrivateKey, type KeyObject, privateDecrypt } from 'node:crypto';
import { cbcDecrypt } from '../../src/tpm/crypto/aes.js';
import { sha1 } from '../../src/tpm/crypto/hash.js';
import { mgf1 } from '../../src/tpm/crypto/oaep.js';
import { oaepDecrypt } from '../../src/tpm/crypto/rsa.js';
import type { RsaKey } from '../../src/tpm/crypto/rsa-keys.js';
import { xor } from '../../src/tpm/crypto/secrets.js';
import { rsaKeyOf } from '../../src/tpm/tpm12/keys/numbers.js';
import { TpmFault } from '../../src/tpm/tpm12/results.js';
import { type DaaSession, daaSession } from '../../src/tpm/tpm12/state/daa-session.js';
import type { Permanent } from '../../src/tpm/tpm12/state/permanent.js';
import { contextBlob } from '../../src/tpm/tpm12/structures/context-blob.js';
import { keyHandleEntry, storeAsymkey } from '../../src/tpm/tpm12/structures/key.js';
import { equal, Reader, WireError } from '../../src/wire/codec.js';

const LABEL = sha1(new TextEncoder().encode('TCPA'));

/** Where a context lies in a response: behind the header and its size. */
const CONTEXT_AT = 14;

/** The tag, the nonce and the count before what a context holds. */
const CONTEXT_HEAD_BYTES = 26;

/** Keys of 512 to 4096 bits. */
const [MODULUS_BYTES_MIN, MODULUS_BYTES_MAX] = [64, 512];

/** The numbers of a key that was just made. */
export interface Made {
  readonly modulus: Uint8Array;
  readonly prime: Uint8Array;
}

export class Oracle {
  readonly #keys: RsaKey[] = [];
  readonly #contextKeys: Uint8Array[] = [];

  /** Takes up the keys of a permanent state. */
  learn({ data, evictKeys }: Permanent): void {
    const held = [data.endorsementKey, data.srk, ...evictKeys.map(({ key }) => key)];
    for (const key of held) {
      const numbers = rsaKeyOf(key);
      if (numbers !== undefined) this.#add(numbers);
    }
    if (data.contextKey.valid) this.#contextKeys.push(data.contextKey.key);
  }

  #add(key: RsaKey): void {
    if (!this.#keys.some(({ modulus }) => equal(modulus, key.modulus))) this.#keys.push(key);
  }

  /** The seeds of all OAEP blocks of a response, the key that was made, the nonce of a context. */
  find(response: Uint8Array) {
    const seeds: Uint8Array[] = [];
    const shown = moduli(response);
    let made: Made | undefined = this.#keys.find(({ modulus }) =>
      shown.some(one => equal(one, modulus)),
    );
    for (const block of counted(response, 256)) {
      for (const key of this.#keys) {
        const opened = open(key, block);
        if (opened === undefined) continue;
        seeds.push(opened.seed);
        const prime = primeOf(opened.message);
        const modulus = prime && shown.find(one => divides(prime, one));
        if (prime === undefined || modulus === undefined) continue;
        made = { modulus, prime };
        this.#add({ ...made, exponent: 65537 });
      }
    }
    return { seeds, made, contextNonce: this.#contextNonce(response) };
  }

  #contextNonce(response: Uint8Array): Uint8Array | undefined {
    const { resourceType, clear } = this.#context(response) ?? {};
    if (resourceType === 1) this.#learnEntry(clear!.slice(CONTEXT_HEAD_BYTES));
    return clear?.slice(2, 22);
  }

  /** The DAA session that left in a response, where one did. */
  daaSession(response: Uint8Array): DaaSession | undefined {
    const { resourceType, clear } = this.#context(response) ?? {};
    if (resourceType !== 8) return undefined;
    return daaSession.read(new Reader(clear!.slice(CONTEXT_HEAD_BYTES)));
  }

  /** What a context holds, where a response is one. */
  #context(response: Uint8Array) {
    if (response.length < CONTEXT_AT + 2 || response[CONTEXT_AT + 1] !== 1) return undefined;
    try {
      const { resourceType, sensitiveData } = contextBlob.read(
        new Reader(response.slice(CONTEXT_AT)),
      );
      for (const key of this.#contextKeys) {
        const clear = cbcDecrypt(key, sensitiveData);
        if (clear?.[1] === 2) return { resourceType, clear };
      }
    } catch (error) {
      if (!(error instanceof WireError) && !(error instanceof TpmFault)) throw error;
    }
    return undefined;
  }

  #learnEntry(bytes: Uint8Array): void {
    const numbers = rsaKeyOf(keyHandleEntry.read(new Reader(bytes)).key);
    if (numbers !== undefined) this.#add(numbers);
  }
}

/** Every run of `length` bytes behind a count that says so. */
function counted(bytes: Uint8Array, length: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: Uint8Array[] = [];
  for (let at = 0; at + 4 + length <= bytes.length; at += 1) {
    if (view.getUint32(at) === length) found.push(bytes.slice(at + 4, at + 4 + length));
  }
  return found;
}

/** Every run of bytes behind a count of as many bytes as a modulus may have. */
function moduli(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: Uint8Array[] = [];
  for (let at = 0; at + 4 + MODULUS_BYTES_MIN <= bytes.length; at += 1) {
    const length = view.getUint32(at);
    const fits = length >= MODULUS_BYTES_MIN && length <= MODULUS_BYTES_MAX;
    if (fits && at + 4 + length <= bytes.length) found.push(bytes.slice(at + 4, at + 4 + length));
  }
  return found;
}

const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);

const divides = (prime: Uint8Array, modulus: Uint8Array): boolean =>
  number(modulus) % number(prime) === 0n;

function open({ modulus, prime, exponent }: RsaKey, block: Uint8Array) {
  if (block.length !== modulus.length || number(block) >= number(modulus)) return undefined;
  // OpenSSL tells whether it is such a block at all; its padding is then taken off once more.
  const message = oaepDecrypt({ modulus, prime, exponent }, block);
  if (message === undefined) return undefined;
  const padded = rawDecrypt({ modulus, prime, exponent }, block);
  const masked = padded.slice(21);
  const seed = xor(padded.slice(1, 21), mgf1(masked, 20));
  const data = xor(masked, mgf1(seed, masked.length));
  return equal(data.slice(0, 20), LABEL) ? { seed, message } : undefined;
}

function rawDecrypt(key: RsaKey, block: Uint8Array): Uint8Array {
  return new Uint8Array(
    privateDecrypt({ key: objectOf(key), padding: constants.RSA_NO_PADDING }, block),
  );
}

const objects = new WeakMap<Uint8Array, KeyObject>();

function objectOf({ modulus, prime, exponent }: RsaKey): KeyObject {
  const known = objects.get(modulus);
  if (known !== undefined) return known;
  const [n, p, e] = [number(modulus), number(prime), BigInt(exponent)];
  const q = n / p;
  const d = inverse(e, (p - 1n) * (q - 1n));
  const text = (value: bigint): string => {
    const digits = value.toString(16);
    return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex').toString(
      'base64url',
    );
  };
  const made = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: text(n),
      e: text(e),
      d: text(d),
      p: text(p),
      q: text(q),
      dp: text(d % (p - 1n)),
      dq: text(d % (q - 1n)),
      qi: text(inverse(q, p)),
    },
  });
  objects.set(modulus, made);
  return made;
}

function inverse(a: bigint, m: bigint): bigint {
  let [r, next, x, nextX] = [m, a % m, 0n, 1n];
  while (next !== 0n) {
    const quotient = r / next;
    [r, next, x, nextX] = [next, r - quotient * next, nextX, x - quotient * nextX];
  }
  return x < 0n ? x + m : x;
}

/** The prime in a TPM_STORE_ASYMKEY, where a message is one. */
function primeOf(message: Uint8Array): Uint8Array | undefined {
  try {
    const { prime } = storeAsymkey.read(new Reader(message));
    return prime.length > 0 ? prime : undefined;
  } catch {
    return undefined;
  }
}
