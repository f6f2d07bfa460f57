/**
 * Storage functions: data (TPM Main Part 3, §10.1 to §10.3, §10.8): TPM_Seal, TPM_Sealx,
 * TPM_Unseal, TPM_UnBind.
 * @module
 */
import { encode, struct, u8 } from '../../../wire/codec.js';
import { ctrCrypt } from '../../crypto/aes.js';
import { sha1 } from '../../crypto/hash.js';
import { mgf1 } from '../../crypto/oaep.js';
import { sameSecret, xor } from '../../crypto/secrets.js';
import { bareSecret, type GuestAuth } from '../auth/guest-auth.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, entityOfKey, findKey } from '../keys/loaded.js';
import { decryptWith, encryptTo } from '../keys/use.js';
import { demand, refusedAs } from '../results.js';
import { createdNow, demandReleased, releaseOf } from '../state/pcr.js';
import { secret, structVer11 } from '../structures/basic.js';
import { restOf, sizedBuffer } from '../structures/codecs.js';
import { hasFlag, type KeptKey, KeyUsage, Payload } from '../structures/key.js';
import { EncScheme } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import {
  type StoredData,
  sealedData,
  sealInfoOf,
  storedData,
  storedDigest,
} from '../structures/stored-data.js';
import { AdipScheme } from '../structures/types.js';

const sealInput = {
  encAuth: secret,
  pcrInfo: sizedBuffer,
  inData: sizedBuffer,
};

const sealOutput = { sealedData: storedData };

/** Encrypts data to a storage key, for this TPM and for what its PCRs hold then. */
export const seal = command({
  ordinal: 'Seal',
  auth: 'one',
  when: 'owned',
  delegable: { key: 1 },
  handles: { keyHandle: 'key' },
  input: sealInput,
  output: sealOutput,
  run(call, { keyHandle, encAuth, pcrInfo: info, inData }) {
    const key = authoriseSealing(call, keyHandle, inData);
    const head = sealInfoOf(info, wanted =>
      createdNow(call.state.stclear.pcrs, call.locality, wanted),
    );
    return { sealedData: sealUnder(call, key, head, encAuth, inData) };
  },
});

/** Encrypts data that came encrypted in the guest's session, and that goes back so. */
export const sealx = command({
  ordinal: 'Sealx',
  auth: 'one',
  when: 'owned',
  delegable: { key: 18 },
  handles: { keyHandle: 'key' },
  input: sealInput,
  output: sealOutput,
  run(call, { keyHandle, encAuth, pcrInfo: info, inData }) {
    const key = authoriseSealing(call, keyHandle, inData);
    const { adipEncScheme } = call.auth.session;
    const et = adipEncScheme === AdipScheme.XOR ? ET_KEY_XOR : adipEncScheme * 256;
    const head = {
      ...sealInfoOf(
        info,
        wanted => createdNow(call.state.stclear.pcrs, call.locality, wanted),
        'long',
      ),
      et,
    };
    const clear = cryptData(call.auth, adipEncScheme, inData);
    return { sealedData: sealUnder(call, key, head, encAuth, clear) };
  },
});

/** TPM_ET_KEY with the scheme XOR, as TPM_Sealx notes it. */
const ET_KEY_XOR = 0x0005;

function authoriseSealing(call: Call<'one'>, keyHandle: number, inData: Uint8Array): KeptKey {
  const { key } = findKey(call, keyHandle);
  call.auth.authorise(entityOfKey(key), 'OSAP');
  demand(inData.length > 0, 'BAD_PARAMETER');
  demandSealing(key);
  return key;
}

function demandSealing(key: KeptKey): void {
  demand(key.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
  demand(!hasFlag(key, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
}

function sealUnder(
  call: Call<'one'>,
  key: KeptKey,
  head: StoredData,
  encAuth: Uint8Array,
  data: Uint8Array,
): StoredData {
  const clear = encode(sealedData, {
    payload: Payload.SEAL,
    authData: call.auth.decrypt(encAuth),
    tpmProof: call.state.permanent.data.tpmProof,
    storedDigest: storedDigest(head),
    data,
  });
  call.endSessions();
  return { ...head, encData: encryptTo(call, key, clear) };
}

/** Encrypts or decrypts data in the guest's session; both are the same. */
function cryptData(auth: GuestAuth, scheme: number, data: Uint8Array): Uint8Array {
  const { nonceEven, sharedSecret } = auth.session;
  if (scheme === AdipScheme.XOR) {
    const label = new TextEncoder().encode('XOR');
    const seed = [nonceEven, auth.nonceOdd, label, sharedSecret];
    return xor(data, mgf1(Uint8Array.of(...seed.flatMap(part => [...part])), data.length));
  }
  demand(scheme === AdipScheme.AES128_CTR, 'INAPPROPRIATE_ENC');
  const counter = sha1(nonceEven, auth.nonceOdd).subarray(0, 16);
  return ctrCrypt(sharedSecret.subarray(0, 16), counter, data);
}

/** Gives sealed data back, to who knows its secret, where the PCRs are as they should be. */
export const unseal = command({
  ordinal: 'Unseal',
  auth: 'oneOrTwo',
  when: 'owned',
  delegable: { key: 2 },
  handles: { parentHandle: 'key' },
  input: { inData: storedData },
  output: { secret: sizedBuffer },
  run(call, { parentHandle, inData }) {
    const { key } = findKey(call, parentHandle);
    if (call.auth2 !== undefined) call.auth.authorise(entityOfKey(key));
    else authoriseKeyless(key);
    demandSealing(key);
    const sealed = openSealed(call, key, inData);
    demandReleased(call.state.stclear.pcrs, call.locality, releaseOf(inData));
    const dataAuth = call.auth2 ?? call.auth;
    dataAuth.authorise(bareSecret(sealed.authData), 'OIAP', 'AUTH2FAIL');
    if (inData.et === 0) return { secret: sealed.data };
    demand(call.auth2 !== undefined, 'AUTHFAIL');
    demand(call.auth.isBound, 'BAD_MODE');
    const data = cryptData(call.auth, Math.floor(inData.et / 256), sealed.data);
    call.auth.end();
    return { secret: data };
  },
});

/** A key whose authorisation did not come must be one that needs none. */
function authoriseKeyless(key: KeptKey): void {
  demand(key.authDataUsage === 0, 'AUTHFAIL');
}

function openSealed(call: Call, key: KeptKey, stored: StoredData) {
  const { tpmProof } = call.state.permanent.data;
  return refusedAs('NOTSEALED_BLOB', () => {
    const sealed = load(sealedData, decryptWith(key, stored.encData));
    const ours =
      sameSecret(sealed.tpmProof, tpmProof) &&
      sameSecret(sealed.storedDigest, storedDigest(stored)) &&
      sealed.payload === Payload.SEAL;
    demand(ours, 'NOTSEALED_BLOB');
    return sealed;
  });
}

const boundData = struct({ ver: structVer11, payload: u8, payloadData: restOf });

/** Decrypts what anybody encrypted to a binding key. */
export const unBind = command({
  ordinal: 'UnBind',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 4 },
  handles: { keyHandle: 'key' },
  input: { inData: sizedBuffer },
  output: { outData: sizedBuffer },
  run(call, { keyHandle, inData }) {
    demand(inData.length > 0, 'BAD_PARAMETER');
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    const legacy = key.keyUsage === KeyUsage.LEGACY;
    demand(legacy || key.keyUsage === KeyUsage.BIND, 'INVALID_KEYUSAGE');
    const clear = decryptWith(key, inData);
    const oaep = key.algorithmParms.encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1;
    if (legacy && !oaep) return { outData: clear };
    const bound = load(boundData, clear);
    demand(bound.payload === Payload.BIND, 'INVALID_STRUCTURE');
    return { outData: bound.payloadData };
  },
});
