/**
 * The Endorsement Key (TPM Main Part 3, §14).
 * @module
 */
import { bool, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { sameSecret, wipe } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { clearOwner, renewDaaSecrets } from '../clearing.js';
import { command } from '../command.js';
import { exponentOf } from '../keys/numbers.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { digest, nonce } from '../structures/basic.js';
import {
  AuthDataUsage,
  type KeptEndorsementKey,
  KeyUsage,
  noKey,
  pubDataDigest,
  publicOf,
} from '../structures/key.js';
import {
  Algorithm,
  EncScheme,
  type KeyParms,
  keyParms,
  pubkey,
  SigScheme,
} from '../structures/key-parms.js';
import { Handle } from '../structures/types.js';

/** The public key, and the digest over it and the guest's nonce. */
const withChecksum = (key: KeptEndorsementKey, antiReplay: Uint8Array) => {
  const pubEndorsementKey = publicOf(key);
  return { pubEndorsementKey, checksum: sha1(encode(pubkey, pubEndorsementKey), antiReplay) };
};

const keyAndChecksum = { pubEndorsementKey: pubkey, checksum: digest };

/** Makes the key that tells this TPM from all others, once and for good. */
export const createEndorsementKeyPair = command({
  ordinal: 'CreateEndorsementKeyPair',
  auth: 'none',
  when: 'operational',
  input: { antiReplay: nonce, keyInfo: keyParms },
  output: keyAndChecksum,
  run(call, { antiReplay, keyInfo }) {
    const made = createEndorsementKey(call, antiReplay, keyInfo);
    call.state.permanent.flags.enableRevokeEK = false;
    return made;
  },
});

function createEndorsementKey(call: Call, antiReplay: Uint8Array, keyInfo: KeyParms) {
  const { data, flags } = call.state.permanent;
  demand(data.endorsementKey.keyUsage === KeyUsage.NONE, 'DISABLED_CMD');
  demand(keyInfo.algorithmID === Algorithm.RSA && keyInfo.rsa !== undefined, 'BAD_KEY_PROPERTY');
  demand(keyInfo.rsa.keyLength === LIMITS.ekBits, 'BAD_KEY_PROPERTY');
  demand(keyInfo.rsa.numPrimes === 2, 'BAD_KEY_PROPERTY');
  demand(keyInfo.encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'BAD_KEY_PROPERTY');
  data.endorsementKey = makeEndorsementKey(call, { ...keyInfo, sigScheme: SigScheme.NONE });
  call.altered = true;
  renewDaaSecrets(call);
  flags.CEKPUsed = true;
  return withChecksum(data.endorsementKey, antiReplay);
}

/** Makes an Endorsement Key that can be taken back, by who knows a secret. */
export const createRevocableEK = command({
  ordinal: 'CreateRevocableEK',
  auth: 'none',
  when: 'operational',
  input: { antiReplay: nonce, keyInfo: keyParms, generateReset: bool, inputEKreset: nonce },
  output: { pubEndorsementKey: pubkey, checksum: digest, outputEKreset: nonce },
  run(call, { antiReplay, keyInfo, generateReset, inputEKreset }) {
    const made = createEndorsementKey(call, antiReplay, keyInfo);
    const { data, flags } = call.state.permanent;
    flags.enableRevokeEK = true;
    data.ekReset = generateReset ? call.tpm.entropy(20) : inputEKreset;
    return { ...made, outputEKreset: data.ekReset };
  },
});

/** Takes a revocable Endorsement Key back, and the owner with it. */
export const revokeTrust = command({
  ordinal: 'RevokeTrust',
  auth: 'none',
  when: 'operational',
  input: { ekReset: nonce },
  run(call, { ekReset }) {
    const { data, flags } = call.state.permanent;
    demand(flags.enableRevokeEK, 'PERMANENTEK');
    demand(sameSecret(data.ekReset, ekReset), 'AUTHFAIL');
    call.demandPresence();
    clearOwner(call, 'all');
    flags.nvLocked = false;
    renewDaaSecrets(call);
    if (data.endorsementKey.secret !== undefined) wipe(data.endorsementKey.secret.prime);
    data.endorsementKey = noKey();
    flags.CEKPUsed = false;
    return {};
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
  ordinal: 'ReadPubek',
  auth: 'none',
  when: 'operational',
  audited: 'from the start',
  input: { antiReplay: nonce },
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
  ordinal: 'OwnerReadInternalPub',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 18 },
  transport: { keys: 1 },
  input: { keyHandle: u32 },
  output: { publicPortion: pubkey },
  run(call, { keyHandle }) {
    call.authoriseOwner();
    const { endorsementKey, srk } = call.state.permanent.data;
    if (keyHandle === Handle.EK) return { publicPortion: publicOf(endorsementKey) };
    if (keyHandle === Handle.SRK) {
      return { publicPortion: publicOf(srk) };
    }
    throw new TpmFault('BAD_PARAMETER');
  },
});
