/**
 * Certified migration (TPM Main Part 3, §11.7 to §11.12): keys that migrate where authorities allow
 * it, and that can prove so.
 * @module
 */
import { encode, u16, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { pkcs1Verify } from '../../crypto/rsa.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import {
  approval,
  demandTicket,
  migrationProof,
  msaDigest,
  pubkeyDigest,
  ticket,
} from '../keys/cmk-proofs.js';
import { entityOfKey, findKey } from '../keys/loaded.js';
import { createKey, demandKeyProperties } from '../keys/making.js';
import { createBlob, openBlob } from '../keys/migration-blob.js';
import { isRsaPart, rsaPublicOf } from '../keys/numbers.js';
import { decryptWith, encryptTo, wrapSecret } from '../keys/use.js';
import { demand, TpmFault } from '../results.js';
import { digest, secret } from '../structures/basic.js';
import { cmkAuth, msaComposite } from '../structures/cmk-auth.js';
import { parsedBuffer, sizedBuffer } from '../structures/codecs.js';
import {
  hasFlag,
  isKey12,
  KeyUsage,
  Payload,
  storeAsymkey,
  travellingKey,
} from '../structures/key.js';
import { Algorithm, EncScheme, type Pubkey, pubkey, SigScheme } from '../structures/key-parms.js';
import { load } from '../structures/parsing.js';
import { MigrateScheme } from '../structures/types.js';
import { demandLeave, migrationKeyAuth } from './migration.js';

/** Which keys a delegation may use under an authority. */
export const cmkSetRestrictions = command({
  ordinal: 'CMK_SetRestrictions',
  auth: 'one',
  when: 'owned',
  input: { restriction: u32 },
  run(call, { restriction }) {
    call.authoriseOwner();
    const { data } = call.state.permanent;
    if (data.restrictDelegate !== restriction) call.altered = true;
    data.restrictDelegate = restriction;
    return {};
  },
});

/** The owner consents to authorities. */
export const cmkApproveMA = command({
  ordinal: 'CMK_ApproveMA',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 28 },
  input: { migrationAuthorityDigest: digest },
  output: { outData: digest },
  run(call, { migrationAuthorityDigest }) {
    call.authoriseOwner();
    return { outData: approval(call, migrationAuthorityDigest) };
  },
});

const NOT_CERTIFIED: readonly number[] = [KeyUsage.IDENTITY, KeyUsage.AUTHCHANGE];

/** Makes a key that migrates under the rules of authorities. */
export const cmkCreateKey = command({
  ordinal: 'CMK_CreateKey',
  auth: 'one',
  when: 'owned',
  delegable: { key: 24 },
  handles: { parentHandle: 'key' },
  input: {
    dataUsageAuth: secret,
    keyInfo: travellingKey,
    migrationAuthorityApproval: digest,
    migrationAuthorityDigest: digest,
  },
  output: { wrappedKey: travellingKey },
  run(call, input) {
    const { parentHandle, dataUsageAuth, keyInfo, migrationAuthorityDigest } = input;
    const { key: parent } = findKey(call, parentHandle);
    call.auth.authorise(entityOfKey(parent), 'OSAP');
    demandKeyProperties(keyInfo, call.state.permanent.flags.FIPS);
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    demand(!hasFlag(parent, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
    demandCertified(keyInfo);
    const approved = approval(call, migrationAuthorityDigest);
    demand(sameSecret(approved, input.migrationAuthorityApproval), 'MA_AUTHORITY');
    demand(!NOT_CERTIFIED.includes(keyInfo.keyUsage), 'INVALID_KEYUSAGE');
    demand(isKey12(keyInfo.head), 'INVALID_STRUCTURE');
    const usageAuth = call.auth.decrypt(dataUsageAuth);
    call.endSessions();
    const key = createKey(call, keyInfo);
    const pubKeyDigest = pubkeyDigest(key);
    Object.assign(key.secret, {
      usageAuth,
      payload: Payload.MIGRATE_RESTRICTED,
      migrationAuth: migrationProof(call, { msaDigest: migrationAuthorityDigest, pubKeyDigest }),
    });
    return { wrappedKey: { ...key, secret: wrapSecret(call, key, parent) } };
  },
});

function demandCertified(key: { readonly keyFlags: number }): void {
  demand(hasFlag(key, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
  demand(hasFlag(key, 'MIGRATEAUTHORITY'), 'INVALID_KEYUSAGE');
}

const SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];

/** Verifies a signature, and gives a ticket that says so. */
export const cmkCreateTicket = command({
  ordinal: 'CMK_CreateTicket',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 26 },
  input: { verificationKey: pubkey, signedData: digest, signatureValue: sizedBuffer },
  output: { sigTicket: digest },
  run(call, { verificationKey, signedData, signatureValue }) {
    call.authoriseOwner();
    const { algorithmID, encScheme, sigScheme } = verificationKey.algorithmParms;
    demand(algorithmID === Algorithm.RSA, 'BAD_KEY_PROPERTY');
    demand(encScheme === EncScheme.NONE, 'INAPPROPRIATE_ENC');
    demand(SCHEMES.includes(sigScheme), 'INVALID_KEYUSAGE');
    const numbers = rsaPublicOf(verificationKey);
    const signed = numbers !== undefined && pkcs1Verify(numbers, signedData, signatureValue);
    demand(signed, 'BAD_SIGNATURE');
    return { sigTicket: ticket(call, { verKeyDigest: pubkeyDigest(verificationKey), signedData }) };
  },
});

const RESTRICTED: readonly number[] = [Payload.MIGRATE_RESTRICTED, Payload.MIGRATE_EXTERNAL];

/** Wraps a key for an authority, or for a place that an authority approves of. */
export const cmkCreateBlob = command({
  ordinal: 'CMK_CreateBlob',
  auth: 'one',
  when: 'owned',
  delegable: { key: 10 },
  handles: { parentHandle: 'key' },
  input: {
    migrationType: u16,
    migrationKeyAuth,
    pubSourceKeyDigest: digest,
    msaList: parsedBuffer(msaComposite),
    restrictTicket: sizedBuffer,
    sigTicket: sizedBuffer,
    encData: sizedBuffer,
  },
  output: { random: sizedBuffer, outData: sizedBuffer },
  run(call, input) {
    const { migrationKeyAuth: to, pubSourceKeyDigest, msaList } = input;
    const { key: parent } = findKey(call, input.parentHandle);
    call.auth.authorise(entityOfKey(parent));
    demand(!hasFlag(parent, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const key = load(storeAsymkey, decryptWith(parent, input.encData));
    demandLeave(call, to);
    demand(RESTRICTED.includes(key.payload), 'INVALID_STRUCTURE');
    const authorities = msaDigest(msaList);
    const proof = migrationProof(call, {
      msaDigest: authorities,
      pubKeyDigest: pubSourceKeyDigest,
    });
    demand(sameSecret(proof, key.migrationAuth), 'MA_AUTHORITY');
    if (to.migrationScheme === MigrateScheme.RESTRICT_MIGRATE) demandAuthorityKey(to, input);
    else if (to.migrationScheme === MigrateScheme.RESTRICT_APPROVE) demandApproved(call, to, input);
    else throw new TpmFault('BAD_PARAMETER');
    const hash = sha1(authorities, pubSourceKeyDigest);
    return createBlob(call, key, hash, Payload.CMK_MIGRATE, to.migrationKey);
  },
});

interface Consent {
  readonly pubSourceKeyDigest: Uint8Array;
  readonly msaList: Uint8Array[];
  readonly restrictTicket: Uint8Array;
  readonly sigTicket: Uint8Array;
}

/** The key to migrate to must be that of an authority. */
function demandAuthorityKey(to: { migrationKey: Pubkey }, consent: Consent): void {
  const keyDigest = pubkeyDigest(to.migrationKey);
  demand(
    consent.msaList.some(one => sameSecret(one, keyDigest)),
    'MA_TICKET_SIGNATURE',
  );
  const { algorithmID, encScheme, sigScheme } = to.migrationKey.algorithmParms;
  demand(algorithmID === Algorithm.RSA, 'BAD_KEY_PROPERTY');
  demand(encScheme === EncScheme.RSAES_OAEP_SHA1_MGF1, 'INAPPROPRIATE_ENC');
  demand(sigScheme === SigScheme.NONE, 'INVALID_KEYUSAGE');
  demand(consent.restrictTicket.length === 0, 'BAD_PARAMETER');
  demand(consent.sigTicket.length === 0, 'BAD_PARAMETER');
}

/** An authority must have signed that this key may go to that one. */
function demandApproved(call: Call, to: { migrationKey: Pubkey }, consent: Consent): void {
  const sigTicket = load(digest, consent.sigTicket);
  demandTicket(call, sigTicket, consent.msaList, sha1(consent.restrictTicket));
  const { destinationKeyDigest, sourceKeyDigest } = load(cmkAuth, consent.restrictTicket);
  demand(sameSecret(pubkeyDigest(to.migrationKey), destinationKeyDigest), 'MA_DESTINATION');
  demand(sameSecret(consent.pubSourceKeyDigest, sourceKeyDigest), 'MA_SOURCE');
}

/** Wraps a key that came under the rules of authorities for its parent here. */
export const cmkConvertMigration = command({
  ordinal: 'CMK_ConvertMigration',
  auth: 'one',
  when: 'owned',
  handles: { parentHandle: 'key' },
  input: {
    restrictTicket: cmkAuth,
    sigTicket: digest,
    migratedKey: travellingKey,
    msaList: sizedBuffer,
    random: sizedBuffer,
  },
  output: { outData: sizedBuffer },
  run(call, input) {
    const { restrictTicket, migratedKey } = input;
    const { key: parent } = findKey(call, input.parentHandle);
    call.auth.authorise(entityOfKey(parent));
    demand(parent.keyUsage === KeyUsage.STORAGE, 'INVALID_KEYUSAGE');
    const key = openBlob(decryptWith(parent, migratedKey.secret), input.random);
    const migrated = pubkeyDigest(migratedKey);
    const msaList = load(msaComposite, input.msaList);
    const authorities = msaDigest(msaList);
    demand(sameSecret(sha1(authorities, migrated), key.migrationAuth), 'AUTHFAIL');
    demand(!hasFlag(parent, 'MIGRATABLE'), 'INVALID_KEYUSAGE');
    demand(key.payload === Payload.CMK_MIGRATE, 'BAD_MIGRATION');
    demandTicket(call, input.sigTicket, msaList, sha1(encode(cmkAuth, restrictTicket)));
    const here = sameSecret(restrictTicket.destinationKeyDigest, pubkeyDigest(parent));
    demand(here, 'MA_DESTINATION');
    demand(isRsaPart({ ...migratedKey, secret: key }), 'BAD_PARAMETER');
    demandCertified(migratedKey);
    demand(sameSecret(restrictTicket.sourceKeyDigest, migrated), 'MA_SOURCE');
    const migrationAuth = migrationProof(call, { msaDigest: authorities, pubKeyDigest: migrated });
    const converted = { ...key, payload: Payload.MIGRATE_EXTERNAL, migrationAuth };
    return { outData: encryptTo(call, parent, encode(storeAsymkey, converted)) };
  },
});
