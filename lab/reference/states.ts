/** States and keys that swtpm made, out of the transcripts: references that our code had no part in. */
import type { GenerateKey } from '../../src/tpm/crypto/rsa-keys.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import { hex } from '../files.js';
import { transcript } from '../recorder/transcript.js';

/** A TPM with an Endorsement Key, as swtpm stored it. */
export const endorsed = (): Uint8Array => hex(transcript('ownership-session').startsFrom!);

/** An owned TPM, as swtpm stored it, and the secret of its owner. */
export const owned = (): Uint8Array => hex(transcript('owner-commands').startsFrom!);

export const ownerSecret = (): Uint8Array => hex(transcript('owner-commands').secrets.owner);

/** An owned TPM with NV indices, as swtpm stored it in the end of the transcript of that name. */
export const withIndices = (): Uint8Array => hex(transcript('nv-permissions').endsWith);

/** Always the same key, which OpenSSL made for swtpm: no test waits for primes that it does not need. */
export const fixedKey: GenerateKey = () => {
  const { pubKey, secret } = decodePermall(endorsed()).data.endorsementKey;
  return { modulus: pubKey.slice(), prime: secret!.prime.slice() };
};
