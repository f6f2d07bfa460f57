/**
 * Migration blobs (TPM Main Part 3, §11.1): the secret part of a key, cut in two and padded with
 * OAEP under a hash of its own, then hidden under random bytes that travel apart from it.
 * @module
 */
import { concat, encode, type Of } from '../../../wire/codec.js';
import { oaepPad, oaepUnpad } from '../../crypto/oaep.js';
import { xor } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { demand } from '../results.js';
import { sizedBuffer } from '../structures/codecs.js';
import { migrateAsymkey, type storeAsymkey } from '../structures/key.js';
import type { Pubkey } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import { encryptTo } from './use.js';

type StoreAsymkey = Of<typeof storeAsymkey>;

/** Bytes of the private part that stand where OAEP has its seed. */
const SEED_BYTES = 20;

/** Bytes of OAEP beside the message: the seed, the hash, and the 1 before the message. */
const PADDING_BYTES = 2 * SEED_BYTES + 1;

/** A migration blob, encrypted to `migrationKey`, and the random bytes that open it. */
export function createBlob(
  call: Call,
  key: StoreAsymkey,
  hash: Uint8Array,
  payload: number,
  migrationKey: Pubkey,
): { random: Uint8Array; outData: Uint8Array } {
  const whole = encode(sizedBuffer, key.prime);
  // A private part that is shorter than the seed makes libtpms read out of bounds.
  demand(whole.length >= SEED_BYTES, 'BAD_KEY_PROPERTY');
  const message = encode(migrateAsymkey, {
    payload,
    usageAuth: key.usageAuth,
    pubDataDigest: key.pubDataDigest,
    partPrivKey: whole.slice(SEED_BYTES),
  });
  const length = message.length + PADDING_BYTES;
  const padded = oaepPad(message, whole.slice(0, SEED_BYTES), hash, length);
  const random = call.tpm.entropy(length);
  return { random, outData: encryptTo(call, migrationKey, xor(padded, random)) };
}

/**
 * The secret part of a key out of a migration blob; its migrationAuth is the hash that the blob was
 * made under.
 * @throws TpmFault BAD_PARAMETER, DECRYPT_ERROR, INVALID_STRUCTURE, BAD_PARAM_SIZE
 */
export function openBlob(clear: Uint8Array, random: Uint8Array): StoreAsymkey {
  demand(clear.length === random.length, 'BAD_PARAMETER');
  const opened = oaepUnpad(xor(clear, random));
  demand(opened !== undefined, 'DECRYPT_ERROR');
  const { partPrivKey, ...rest } = load(migrateAsymkey, opened.message);
  const prime = load(sizedBuffer, concat(opened.seed, partPrivKey));
  return { ...rest, migrationAuth: opened.hash, prime };
}
