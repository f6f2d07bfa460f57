/**
 * Attestation identities (TPM Main Part 3 §15).
 * @module
 */
import { encryptTo, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import { OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import { IDENTITY, identity, readEk, sign, ZEROS } from './contexts-common.js';
import {
  digestOf,
  ENC,
  FLAG,
  KEY,
  loadIt,
  make,
  parms,
  SIG,
  SIGNING_DER,
  STORAGE,
  template,
  template12,
  USAGE,
} from './keys-common.js';

const { byte, counted, rawCommand, word16, selection } = raw;
const BOTH_KEYS = [{ secret: KEY }, { secret: KEY }] as const;
const KEY_AND_OWNER = [{ secret: KEY }, { secret: OWNER }] as const;

/** TPM_MakeIdentity as it should be, and with one thing wrong; gives the wrapped key. */
function makeIdentities(tpm: Recorder): Uint8Array {
  const wrapped = identity(tpm, 'an identity')!;
  identity(tpm, 'a wrong owner', IDENTITY, { owner: WRONG });
  identity(tpm, 'a wrong SRK', IDENTITY, { srk: WRONG });
  identity(tpm, 'without the SRK', IDENTITY, { srk: undefined });
  identity(tpm, 'of 1024 bits', template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1, 1024)));
  identity(tpm, 'a storage key', STORAGE);
  identity(tpm, 'a migratable one', { ...IDENTITY, keyFlags: FLAG.MIGRATABLE });
  const info = concat(word16(6), byte(1), byte(0x1f), selection(16), selection(), ZEROS, ZEROS);
  identity(tpm, 'of TPM 1.2', template12(IDENTITY, info));
  return wrapped;
}

/** What an identity signs; gives a signing key that is none. */
function signWith(tpm: Recorder, handle: number): number {
  tpm.auth('a quote', rawCommand('Quote', 1, handle, DIGEST, selection(1)), KEY);
  tpm.auth('a signature', sign(handle), KEY);
  const signing = make(tpm, 'a key to certify', SIGNING_DER);
  const moving = make(tpm, 'a key that moves', { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE });
  for (const [what, key] of Object.entries({ signing, moving })) {
    const old = rawCommand('CertifyKey', 2, handle, key, DIGEST);
    tpm.auth2(`certify ${what}`, old, ...BOTH_KEYS);
    const anew = rawCommand('CertifyKey2', 2, key, handle, ZEROS, DIGEST);
    tpm.auth2(`certify ${what} anew`, anew, ...BOTH_KEYS);
  }
  const audit = rawCommand('GetAuditDigestSigned', 1, handle, byte(1), DIGEST);
  tpm.auth('it closes the audit', audit, KEY);
  return signing;
}

/** A TPM_SYMMETRIC_KEY, which an activation hands over. */
const SESSION_KEY = concat(
  new Uint8Array([0, 0, 0, 6, 0, 255]),
  word16(16),
  new Uint8Array(16).fill(7),
);
const ANY_PCR = concat(selection(), byte(0x1f), ZEROS);
const ekBlob = (type: number, content: Uint8Array) =>
  concat(word16(0x0c), word16(type), counted(content));
const activation = (digest: Uint8Array, pcrs = ANY_PCR) =>
  concat(word16(0x2b), SESSION_KEY, digest, pcrs);
const oldActivation = (digest: Uint8Array) => concat(SESSION_KEY, digest);

/** What a privacy CA encrypts to the EK, as it should be and otherwise. */
const activationsOf = (digest: Uint8Array): Readonly<Record<string, Uint8Array>> => ({
  'of TPM 1.1': oldActivation(digest),
  'of TPM 1.2': ekBlob(1, activation(digest)),
  'of TPM 1.1, for another': oldActivation(DIGEST),
  'of TPM 1.2, for another': ekBlob(1, activation(DIGEST)),
  'of another type': ekBlob(2, activation(digest)),
  'for other PCRs': ekBlob(1, activation(digest, concat(selection(16), byte(0x1f), DIGEST))),
  'for locality 3': ekBlob(1, activation(digest, concat(selection(), byte(8), ZEROS))),
  'cut short': concat(SESSION_KEY.slice(0, 12)),
  'of another tag': ekBlob(1, concat(word16(0x2a), SESSION_KEY, digest, ANY_PCR)),
});

function activateIdentities(
  tpm: Recorder,
  identityKey: { wrapped: Uint8Array; handle: number },
  signing: number,
): void {
  const ek = tpm.auth('the EK', readEk, OWNER).value!;
  const activate = (blob: Uint8Array, id = identityKey.handle) =>
    rawCommand('ActivateIdentity', 1, id, counted(blob));
  const digest = digestOf(identityKey.wrapped);
  for (const [what, blob] of Object.entries(activationsOf(digest))) {
    tpm.auth2(what, activate(encryptTo(ek, blob)), ...KEY_AND_OWNER);
  }
  const good = encryptTo(ek, oldActivation(digest));
  tpm.auth2('a wrong identity', activate(good), { secret: WRONG }, { secret: OWNER });
  tpm.auth2('a wrong owner', activate(good), { secret: KEY }, { secret: WRONG });
  tpm.auth('without the identity', activate(good), OWNER);
  tpm.auth2('a key that is no identity', activate(good, signing), ...KEY_AND_OWNER);
  tpm.auth2('nonsense', activate(new Uint8Array(256).fill(1)), ...KEY_AND_OWNER);
  tpm.auth2('too long', activate(new Uint8Array(257).fill(1)), ...KEY_AND_OWNER);
  const unguarded = { ...IDENTITY, authDataUsage: 0 };
  const free = identity(tpm, 'an identity that needs no authorisation', unguarded)!;
  const freeHandle = loadIt(tpm, 'load it', free)!;
  const freeBlob = encryptTo(ek, oldActivation(digestOf(free)));
  tpm.auth('without it', activate(freeBlob, freeHandle), OWNER);
}

function identities(tpm: Recorder): void {
  start(tpm);
  const wrapped = makeIdentities(tpm);
  const handle = loadIt(tpm, 'load it', wrapped)!;
  const signing = signWith(tpm, handle);
  activateIdentities(tpm, { wrapped, handle }, signing);
}

export const IDENTITIES = [
  scenario('identities', 'owned', 'TPM_MakeIdentity and TPM_ActivateIdentity.', identities),
];
