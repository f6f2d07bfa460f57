/**
 * Contexts that leave the TPM for a while (TPM Main Part 1, §21): a key or a session, encrypted
 * with a key that is made with the owner, under an HMAC with the TPM's proof.
 * @module
 */
import { type Codec, encode } from '../../wire/codec.js';
import { cbcDecrypt, cbcEncrypt } from '../crypto/aes.js';
import { hmacSha1 } from '../crypto/hash.js';
import { sameSecret } from '../crypto/secrets.js';
import { demand } from './results.js';
import type { Permanent } from './state/permanent.js';
import { noBytes20 } from './structures/basic.js';
import { type ContextBlob, contextBlob, contextSensitive } from './structures/context-blob.js';
import { load } from './structures/parsing.js';

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
