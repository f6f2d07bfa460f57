/**
 * Contexts that leave the TPM for a while (TPM Main Part 2, §18): a key or a session, encrypted with
 * a key that the TPM has from its owner, and under an HMAC with its proof.
 * @module
 */
import { bytes, type Codec, encode, type Of, u32 } from '../../../wire/codec.js';
import { cbcDecrypt, cbcEncrypt, hmacSha1, sameSecret } from '../../crypto/rsa.js';
import { demand } from '../results.js';
import type { Permanent } from '../state/permall.js';
import { digest, noBytes20, nonce, sizedBuffer, structure } from './basic.js';
import { load } from './parsing.js';

// biome-ignore format: table
export const contextBlob = structure(0x0001, {
  resourceType:    u32,
  handle:          u32,
  label:           bytes(16),
  contextCount:    u32,
  integrityDigest: digest,
  additionalData:  sizedBuffer,
  sensitiveData:   sizedBuffer,
});
export type ContextBlob = Of<typeof contextBlob>;

// biome-ignore format: table
const contextSensitive = structure(0x0002, {
  contextNonce: nonce,
  internalData: sizedBuffer,
});

type Data = Permanent['data'];
type Head = Pick<ContextBlob, 'resourceType' | 'handle' | 'label' | 'contextCount'>;

const hmacOf = ({ tpmProof }: Data, blob: ContextBlob): Uint8Array =>
  hmacSha1(tpmProof, encode(contextBlob, { ...blob, integrityDigest: noBytes20() }));

/** The bytes of a context blob that holds `value`. */
export function seal<T>(
  data: Data,
  head: Head,
  contextNonce: Uint8Array,
  codec: Codec<T>,
  value: T,
): Uint8Array {
  const internalData = encode(codec, value);
  const clear = encode(contextSensitive, { contextNonce, internalData });
  const blob = { ...head, integrityDigest: noBytes20(), additionalData: new Uint8Array() };
  const integrityDigest = hmacOf(data, { ...blob, sensitiveData: clear });
  const sensitiveData = cbcEncrypt(data.contextKey.key, clear);
  return encode(contextBlob, { ...blob, integrityDigest, sensitiveData });
}

/**
 * What a context blob holds, not yet proven to be of this TPM: `prove` does that.
 * @throws TpmFault DECRYPT_ERROR, INVALID_STRUCTURE, BAD_PARAM_SIZE
 */
export function open<T>(data: Data, blob: ContextBlob, codecOf: () => Codec<T>) {
  const clear = cbcDecrypt(data.contextKey.key, blob.sensitiveData);
  demand(clear !== undefined, 'DECRYPT_ERROR');
  const { contextNonce, internalData } = load(contextSensitive, clear);
  return {
    contextNonce,
    value: load(codecOf(), internalData),
    prove(): void {
      const expected = hmacOf(data, { ...blob, sensitiveData: clear });
      demand(sameSecret(expected, blob.integrityDigest), 'BADCONTEXT');
    },
  };
}
