/**
 * The Endorsement Key (TPM Main Part 3, §14).
 * @module
 */
import { encode, struct, u32 } from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { sha1 } from '../crypto.js';
import {
  AuthDataUsage,
  exponentOf,
  type KeptEndorsementKey,
  KeyUsage,
  noKey,
  pubDataDigest,
} from '../keys.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { Handle } from '../state.js';
import {
  Algorithm,
  digest,
  EncScheme,
  type KeyParms,
  keyParms,
  nonce,
  pubkey,
  SigScheme,
} from '../structures.js';

const publicOf = ({ algorithmParms, pubKey }: KeptEndorsementKey) => ({ algorithmParms, pubKey });

/** The public key, and the digest over it and the guest's nonce. */
const withChecksum = (key: KeptEndorsementKey, antiReplay: Uint8Array) => {
  const pubEndorsementKey = publicOf(key);
  return { pubEndorsementKey, checksum: sha1(encode(pubkey, pubEndorsementKey), antiReplay) };
};
const keyAndChecksum = struct({ pubEndorsementKey: pubkey, checksum: digest });

/** Makes the key that tells this TPM from all others, once and for good. */
export const createEndorsementKeyPair = command({
  ordinal: 0x78,
  name: 'TPM_CreateEndorsementKeyPair',
  auth: 'none',
  when: 'operational',
  input: struct({ antiReplay: nonce, keyInfo: keyParms }),
  output: keyAndChecksum,
  run(call, { antiReplay, keyInfo }) {
    const { data, flags } = call.state.permanent;
    demand(data.endorsementKey.keyUsage === KeyUsage.NONE, 'DISABLED_CMD');
    demand(keyInfo.algorithmID === Algorithm.RSA && keyInfo.rsa !== undefined, 'BAD_KEY_PROPERTY');
    demand(keyInfo.rsa.keyLength === LIMITS.ekBits, 'BAD_KEY_PROPERTY');
    demand(keyInfo.rsa.numPrimes === 2, 'BAD_KEY_PROPERTY');
    demand(keyInfo.encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'BAD_KEY_PROPERTY');
    data.endorsementKey = makeEndorsementKey(call, { ...keyInfo, sigScheme: SigScheme.NONE });
    call.altered = true;
    data.tpmDAASeed = call.tpm.entropy(20);
    data.daaProof = call.tpm.entropy(20);
    data.daaBlobKey = { ...data.daaBlobKey, valid: true, key: call.tpm.entropy(16) };
    flags.CEKPUsed = true;
    flags.enableRevokeEK = false;
    return withChecksum(data.endorsementKey, antiReplay);
  },
});

function makeEndorsementKey({ tpm }: Call, algorithmParms: KeyParms): KeptEndorsementKey {
  const { modulus, prime } = tpm.generateKey(LIMITS.ekBits, exponentOf(algorithmParms));
  const key = {
    ...noKey(),
    keyUsage: KeyUsage.STORAGE,
    authDataUsage: AuthDataUsage.ALWAYS,
    algorithmParms,
    pubKey: modulus,
  };
  return { ...key, secret: { pubDataDigest: pubDataDigest(key), prime } };
}

/** Shows the Endorsement Key to anybody, until there is an owner. */
export const readPubek = command({
  ordinal: 0x7c,
  name: 'TPM_ReadPubek',
  auth: 'none',
  when: 'operational',
  input: struct({ antiReplay: nonce }),
  output: keyAndChecksum,
  run({ state }, { antiReplay }) {
    const { data, flags } = state.permanent;
    demand(flags.readPubek, 'DISABLED_CMD');
    demand(data.endorsementKey.keyUsage !== KeyUsage.NONE, 'NO_ENDORSEMENT');
    return withChecksum(data.endorsementKey, antiReplay);
  },
});

/** Shows the owner the Endorsement Key, or the Storage Root Key. */
export const ownerReadInternalPub = command({
  ordinal: 0x81,
  name: 'TPM_OwnerReadInternalPub',
  auth: 'one',
  when: 'owned',
  input: struct({ keyHandle: u32 }),
  output: struct({ publicPortion: pubkey }),
  run(call, { keyHandle }) {
    call.authoriseOwner();
    const { endorsementKey, srk } = call.state.permanent.data;
    if (keyHandle === Handle.EK) return { publicPortion: publicOf(endorsementKey) };
    if (keyHandle === Handle.SRK) {
      return { publicPortion: { algorithmParms: srk.algorithmParms, pubKey: srk.pubKey } };
    }
    throw new TpmFault('BAD_PARAMETER');
  },
});
