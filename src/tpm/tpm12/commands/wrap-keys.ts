/**
 * Storage functions: keys (TPM Main Part 3, §10.4 to §10.6): TPM_CreateWrapKey, TPM_LoadKey,
 * TPM_LoadKey2, TPM_GetPubKey.
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, entityOfKey, findKey, usesPcrs } from '../keys/loaded.js';
import { createKey, demandKeyProperties } from '../keys/making.js';
import { isRsaPart } from '../keys/numbers.js';
import { decryptWith, wrapSecret } from '../keys/use.js';
import { demand } from '../results.js';
import { secret } from '../structures/basic.js';
import {
  AuthDataUsage,
  hasFlag,
  type KeptKey,
  KeyUsage,
  type KeyWithSecret,
  pubDataDigest,
  publicOf,
  storeAsymkey,
  type TravellingKey,
  travellingKey,
} from '../structures/key.js';
import { pubkey } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import { Handle } from '../structures/types.js';

/** Makes a key, and gives it away encrypted to its parent. */
export const createWrapKey = command({
  ordinal: 'CreateWrapKey',
  auth: 'one',
  when: 'owned',
  delegable: { key: 11 },
  audited: 'from the start',
  handles: { parentHandle: 'key' },
  input: { dataUsageAuth: secret, dataMigrationAuth: secret, keyInfo: travellingKey },
  output: { wrappedKey: travellingKey },
  run(call, { parentHandle, dataUsageAuth, dataMigrationAuth, keyInfo }) {
    const { data, flags } = call.state.permanent;
    const { key: parent } = findKey(call, parentHandle);
    call.auth.authorise(entityOfKey(parent), 'OSAP');
    demandKeyProperties(keyInfo, flags.FIPS);
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const migratable = hasFlag(keyInfo, 'MIGRATABLE');
    demand(!hasFlag(parent, 'MIGRATABLE') || migratable, 'INVALID_KEYUSAGE');
    demand(!NOT_WRAPPED.includes(keyInfo.keyUsage), 'INVALID_KEYUSAGE');
    demand(!hasFlag(keyInfo, 'MIGRATEAUTHORITY'), 'INVALID_KEYUSAGE');
    const usageAuth = call.auth.decrypt(dataUsageAuth);
    const migrationAuth = call.auth.decrypt(dataMigrationAuth, call.auth.nonceOdd);
    call.endSessions();
    const key = createKey(call, keyInfo);
    key.secret.usageAuth = usageAuth;
    key.secret.migrationAuth = migratable ? migrationAuth : data.tpmProof.slice();
    return { wrappedKey: { ...key, secret: wrapSecret(call, key, parent) } };
  },
});

/** Usages of keys that are made in other ways. */
const NOT_WRAPPED: readonly number[] = [KeyUsage.IDENTITY, KeyUsage.AUTHCHANGE];

const loadInput = { inKey: travellingKey };

/** Loads a key; the handle is covered by the answer's HMAC. */
export const loadKey = command({
  ordinal: 'LoadKey',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 0 },
  handles: { parentHandle: 'key' },
  input: loadInput,
  output: { inkeyHandle: u32 },
  run: (call, { parentHandle, inKey }) => ({ inkeyHandle: loadUnder(call, parentHandle, inKey) }),
});

/** Loads a key; a resource manager may change the handle. */
export const loadKey2 = command({
  ordinal: 'LoadKey2',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 22 },
  handles: { parentHandle: 'key' },
  input: loadInput,
  outHandles: { inkeyHandle: 'key' },
  run: (call, { parentHandle, inKey }) => ({ inkeyHandle: loadUnder(call, parentHandle, inKey) }),
});

function loadUnder(call: Call, parentHandle: number, inKey: TravellingKey): number {
  const { data, flags } = call.state.permanent;
  const { key: parent, parentPCRStatus } = findKey(call, parentHandle);
  authoriseKey(call, parent);
  demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
  demandKeyProperties(inKey, flags.FIPS);
  const key = openKey(inKey, parent);
  demand(sameSecret(pubDataDigest(key), key.secret.pubDataDigest), 'AUTHFAIL');
  const migratable = hasFlag(key, 'MIGRATABLE');
  demand(!(key.keyUsage === KeyUsage.IDENTITY && migratable), 'INVALID_KEYUSAGE');
  demand(key.keyUsage !== KeyUsage.AUTHCHANGE, 'INVALID_KEYUSAGE');
  const ours = migratable || sameSecret(data.tpmProof, key.secret.migrationAuth);
  demand(ours, 'INVALID_KEYUSAGE');
  const status = parentPCRStatus || usesPcrs(parent);
  const loaded = { handle: 0, key, parentPCRStatus: status, keyControl: 0 };
  return call.state.keys.add(loaded, call.tpm.entropy).handle;
}

/** A key with its secret part in clear, where its parent decrypts that and its numbers make a key. */
function openKey(inKey: TravellingKey, parent: KeptKey): KeyWithSecret {
  const key = { ...inKey, secret: load(storeAsymkey, decryptWith(parent, inKey.secret)) };
  demand(isRsaPart(key), 'BAD_PARAMETER');
  return key;
}

/** What a key shows to who may use it, or to anybody where the key says so. */
export const getPubKey = command({
  ordinal: 'GetPubKey',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 5 },
  handles: { keyHandle: 'key' },
  output: { pubKey: pubkey },
  run(call, { keyHandle }) {
    const { key } = findKey(call, keyHandle, { readOnly: true });
    const open = key.authDataUsage === AuthDataUsage.NO_READ_PUBKEY;
    if (call.isAuthorised || !open) authoriseKey(call, key);
    const hidden = keyHandle === Handle.SRK && !call.state.permanent.flags.readSRKPub;
    demand(!hidden, 'INVALID_KEYHANDLE');
    return { pubKey: publicOf(key) };
  },
});
