/**
 * Migration of keys (TPM Main Part 3, §11.1 to §11.4): a migratable key moves to another TPM,
 * under the owner's migration authorisation and its own secret.
 * @module
 */
import { encode, struct, u16 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import { bareSecret } from '../auth/guest-auth.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, entityOfKey, findKey } from '../keys/loaded.js';
import { demandUsualExponent } from '../keys/making.js';
import { createBlob, openBlob } from '../keys/migration-blob.js';
import { decryptWith, encryptTo } from '../keys/use.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import { digest } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { AuthDataUsage, KeyUsage, Payload, storeAsymkey } from '../structures/key.js';
import { EncScheme, type Pubkey, pubkey } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import { MigrateScheme } from '../structures/types.js';

/** Part 2, TPM_MIGRATIONKEYAUTH: a key to migrate to, and the owner's approval. */
// biome-ignore format: table
export const migrationKeyAuth = struct({
  migrationKey:    pubkey,
  migrationScheme: u16,
  digest,
});

/**
 * The owner's migration authorisation. In libtpms it covers the scheme in the host's byte order.
 */
function approvalOf({ state }: Call, migrationKey: Pubkey, migrationScheme: number): Uint8Array {
  const scheme = encode(u16, migrationScheme).reverse();
  return sha1(encode(pubkey, migrationKey), scheme, state.permanent.data.tpmProof);
}

/** Demands that the owner of this TPM approved a key to migrate to. */
export function requireApproval(
  call: Call,
  {
    migrationKey,
    migrationScheme,
    digest: given,
  }: { migrationKey: Pubkey; migrationScheme: number; digest: Uint8Array },
): void {
  demand(sameSecret(approvalOf(call, migrationKey, migrationScheme), given), 'AUTHFAIL');
}

/** Approves a key to migrate to, for the owner. */
export const authorizeMigrationKey = command({
  ordinal: 'AuthorizeMigrationKey',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 22 },
  audited: 'from the start',
  input: { migrationScheme: u16, migrationKey: pubkey },
  output: { outData: migrationKeyAuth },
  run(call, { migrationScheme, migrationKey }) {
    const { rsa, encScheme } = migrationKey.algorithmParms;
    demand(rsa !== undefined && rsa.keyLength >= LIMITS.keyBits, 'BAD_KEY_PROPERTY');
    demandUsualExponent(rsa.exponent);
    call.authoriseOwner();
    demand(encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'INAPPROPRIATE_ENC');
    const given = approvalOf(call, migrationKey, migrationScheme);
    return { outData: { migrationKey, migrationScheme, digest: given } };
  },
});

/** Wraps a key for another parent: at once, or through a blob that needs its random bytes too. */
export const createMigrationBlob = command({
  ordinal: 'CreateMigrationBlob',
  auth: 'oneOrTwo',
  when: 'owned',
  delegable: { key: 9 },
  audited: 'from the start',
  handles: { parentHandle: 'key' },
  input: { migrationType: u16, migrationKeyAuth, encData: sizedBuffer },
  output: { random: sizedBuffer, outData: sizedBuffer },
  run(call, { parentHandle, migrationType, migrationKeyAuth: to, encData }) {
    const { key: parent } = findKey(call, parentHandle);
    if (call.auth2 !== undefined) call.auth.authorise(entityOfKey(parent));
    else demand(parent.authDataUsage === AuthDataUsage.NEVER, 'AUTHFAIL');
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const clear = decryptWith(parent, encData);
    const key = load(storeAsymkey, clear);
    demand(key.payload === Payload.ASYM, 'BAD_MIGRATION');
    const entityAuth = call.auth2 ?? call.auth;
    entityAuth.authorise(bareSecret(key.migrationAuth), 'OIAP', 'AUTH2FAIL');
    requireApproval(call, to);
    if (migrationType === MigrateScheme.MIGRATE) {
      return createBlob(call, key, key.migrationAuth, Payload.MIGRATE, to.migrationKey);
    }
    demand(migrationType === MigrateScheme.REWRAP, 'BAD_PARAMETER');
    return { random: new Uint8Array(), outData: encryptTo(call, to.migrationKey, clear) };
  },
});

/** Wraps a key that came in a migration blob for its parent here. */
export const convertMigrationBlob = command({
  ordinal: 'ConvertMigrationBlob',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 8 },
  audited: 'from the start',
  handles: { parentHandle: 'key' },
  input: { inData: sizedBuffer, random: sizedBuffer },
  output: { outData: sizedBuffer },
  run(call, { parentHandle, inData, random }) {
    const { key: parent } = findKey(call, parentHandle);
    authoriseKey(call, parent);
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const key = openBlob(decryptWith(parent, inData), random);
    demand(key.payload === Payload.MIGRATE, 'BAD_MIGRATION');
    const converted = encode(storeAsymkey, { ...key, payload: Payload.ASYM });
    return { outData: encryptTo(call, parent, converted) };
  },
});

/** Hands a migration blob on to another key, as an authority does. */
export const migrateKey = command({
  ordinal: 'MigrateKey',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 23 },
  handles: { maKeyHandle: 'key' },
  input: { pubKey: pubkey, inData: sizedBuffer },
  output: { outData: sizedBuffer },
  run(call, { maKeyHandle, pubKey, inData }) {
    const { key } = findKey(call, maKeyHandle);
    authoriseKey(call, key);
    demand(key.keyUsage === KeyUsage.MIGRATE, 'INVALID_KEYUSAGE');
    const oaep = key.algorithmParms.encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1;
    if (!oaep) throw new TpmFault('BAD_KEY_PROPERTY');
    return { outData: encryptTo(call, pubKey, decryptWith(key, inData)) };
  },
});
