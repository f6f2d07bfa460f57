/**
 * What keys do: decrypt and sign with their private part, encrypt with their public one, each in the
 * scheme that the key was made for (TPM Main Part 1, §31).
 * @module
 */
import { encode } from '../../../wire/codec.js';
import {
  oaepDecrypt,
  oaepEncrypt,
  pkcs1Decrypt,
  pkcs1Sign,
  pkcs1SignSha1,
} from '../../crypto/rsa.js';
import type { Call } from '../call.js';
import { demand, TpmFault } from '../results.js';
import {
  type KeptEndorsementKey,
  type KeptKey,
  type KeyWithSecret,
  type PublicPart,
  storeAsymkey,
} from '../structures/key.js';
import { EncScheme, SigScheme } from '../structures/key-parms.js';
import { rsaKeyOf, rsaPublicOf } from './numbers.js';

/**
 * Decrypts what was encrypted to a key.
 * @throws TpmFault BAD_DATASIZE, INAPPROPRIATE_ENC, DECRYPT_ERROR
 */
export function decryptWith(key: KeptKey | KeptEndorsementKey, encrypted: Uint8Array): Uint8Array {
  demand(encrypted.length <= key.pubKey.length, 'BAD_DATASIZE');
  const numbers = rsaKeyOf(key);
  demand(numbers !== undefined, 'DECRYPT_ERROR');
  const { encScheme } = key.algorithmParms;
  const oaep = encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1;
  demand(oaep || encScheme === EncScheme.RSAES_PKCS_V15, 'INAPPROPRIATE_ENC');
  const clear = oaep ? oaepDecrypt(numbers, encrypted) : pkcs1Decrypt(numbers, encrypted);
  demand(clear !== undefined, 'DECRYPT_ERROR');
  return clear;
}

type Public = Pick<PublicPart, 'algorithmParms' | 'pubKey'>;

/**
 * Encrypts to a key of the OAEP scheme.
 * @throws TpmFault BAD_DATASIZE, INAPPROPRIATE_ENC, ENCRYPT_ERROR
 */
export function encryptTo({ tpm }: Call, key: Public, clear: Uint8Array): Uint8Array {
  demand(clear.length <= key.pubKey.length, 'BAD_DATASIZE');
  const { encScheme } = key.algorithmParms;
  demand(encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'INAPPROPRIATE_ENC');
  const numbers = rsaPublicOf(key);
  demand(numbers !== undefined, 'ENCRYPT_ERROR');
  const encrypted = oaepEncrypt(numbers, clear, tpm.entropy(20));
  demand(encrypted !== undefined, 'ENCRYPT_ERROR');
  return encrypted;
}

/** The secret part of a key, encrypted to its parent. */
export const wrapSecret = (call: Call, key: KeyWithSecret, parent: Public): Uint8Array =>
  encryptTo(call, parent, encode(storeAsymkey, key.secret));

/**
 * Signs a message with a key: a digest, or with the DER scheme anything that fits.
 * @throws TpmFault INVALID_KEYUSAGE, DECRYPT_ERROR, BAD_KEY_PROPERTY
 */
export function signWith(key: KeptKey, message: Uint8Array): Uint8Array {
  const numbers = rsaKeyOf(key);
  // A key whose modulus has another length than it says brings libtpms down.
  const bits = key.algorithmParms.rsa?.keyLength;
  demand(numbers !== undefined && 8 * key.pubKey.length === bits, 'BAD_KEY_PROPERTY');
  const signature = SIGNERS[key.algorithmParms.sigScheme]?.(numbers, message);
  if (signature === undefined) {
    const known = key.algorithmParms.sigScheme in SIGNERS;
    throw new TpmFault(known ? 'DECRYPT_ERROR' : 'INVALID_KEYUSAGE');
  }
  return signature;
}

const SIGNERS: Readonly<Record<number, typeof pkcs1Sign>> = {
  [SigScheme.PKCS1_SHA1]: pkcs1SignSha1,
  [SigScheme.PKCS1_INFO]: pkcs1SignSha1,
  [SigScheme.PKCS1_DER]: pkcs1Sign,
};
