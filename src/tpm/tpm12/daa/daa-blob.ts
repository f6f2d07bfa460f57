/**
 * What of a DAA credential the host keeps for the TPM (TPM Main Part 2, §22.8 TPM_DAA_BLOB and
 * §22.9 TPM_DAA_SENSITIVE): encrypted under the daaBlobKey of this TPM, and under an HMAC with its
 * daaProof. Both go when the owner asks for new ones.
 * @module
 */
import { decode, encode } from '../../../wire/codec.js';
import { cbcDecrypt, cbcEncrypt } from '../../crypto/aes.js';
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import { demand } from '../results.js';
import type { Permanent } from '../state/permanent.js';
import { noBytes20 } from '../structures/basic.js';
import { type DaaResource, daaBlob, daaSensitive } from '../structures/daa-issuer.js';

type Data = Permanent['data'];

/** The bytes of a blob that holds `internalData`. */
export function sealDaa(data: Data, resourceType: DaaResource, internalData: Uint8Array) {
  const blob = {
    resourceType,
    label: new Uint8Array(16),
    blobIntegrity: noBytes20(),
    additionalData: new Uint8Array(),
    sensitiveData: cbcEncrypt(data.daaBlobKey.key, encode(daaSensitive, { internalData })),
  };
  const blobIntegrity = hmacSha1(data.daaProof, encode(daaBlob, blob));
  return encode(daaBlob, { ...blob, blobIntegrity });
}

/**
 * What a blob of this TPM and of this type holds.
 * @throws TpmFault, WireError where it is not such a blob
 */
export function openDaa(data: Data, resourceType: DaaResource, sealed: Uint8Array): Uint8Array {
  const blob = decode(daaBlob, sealed);
  const unproven = encode(daaBlob, { ...blob, blobIntegrity: noBytes20() });
  demand(sameSecret(hmacSha1(data.daaProof, unproven), blob.blobIntegrity), 'DAA_INPUT_DATA0');
  demand(blob.resourceType === resourceType, 'DAA_INPUT_DATA0');
  const clear = cbcDecrypt(data.daaBlobKey.key, blob.sensitiveData);
  demand(clear !== undefined, 'DAA_INPUT_DATA0');
  return decode(daaSensitive, clear).internalData;
}
