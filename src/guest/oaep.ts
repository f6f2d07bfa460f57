/**
 * Encryption to the Endorsement Key: RSA OAEP with SHA-1 and the label "TCPA" of TPM 1.2.
 * Source: TPM Main Part 1 §31.1.1 (TPM_ES_RSAESOAEP_SHA1_MGF1) and PKCS #1 v2.0.
 * @module
 */
import { constants, createPublicKey, type KeyObject, publicEncrypt } from 'node:crypto';
import { Reader } from '../wire/codec.js';
import { type PubKey, rsaKeyParms } from './structures.js';

const LABEL = new TextEncoder().encode('TCPA');
const DEFAULT_EXPONENT = Uint8Array.of(1, 0, 1);

/** A TPM_PUBKEY as a key that node:crypto can work with. */
export function publicKeyOf({ algorithmParms, modulus }: PubKey): KeyObject {
  const { exponent } = rsaKeyParms.read(new Reader(algorithmParms.parms));
  return createPublicKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: base64Url(modulus),
      e: base64Url(exponent.length === 0 ? DEFAULT_EXPONENT : exponent),
    },
  });
}

/** `secret`, so that only the owner of the private part of `key` can read it. */
export function encryptTo(key: PubKey, secret: Uint8Array, label: Uint8Array = LABEL): Uint8Array {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const options = { key: publicKeyOf(key), padding, oaepHash: 'sha1', oaepLabel: label };
  return new Uint8Array(publicEncrypt(options, secret));
}

const base64Url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
