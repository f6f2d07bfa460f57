/**
 * Certifying keys (TPM Main Part 3, §13.8 and §13.9): a signature over what a loaded key is.
 * @module
 */
import { type Codec, encode } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { AuthRefusal, GuestAuth } from '../auth/guest-auth.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { migrationProof, pubkeyDigest } from '../keys/cmk-proofs.js';
import { entityOfKey, findKey, localitiesOf, usesPcrs } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { digest, noBytes20, nonce, STRUCT_VER_1_1 } from '../structures/basic.js';
import {
  type CertifyInfo,
  type CertifyInfo2,
  certifyInfo,
  certifyInfo2,
} from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import {
  AuthDataUsage,
  hasFlag,
  type KeptKey,
  KeyUsage,
  type KeyWithSecret,
  Payload,
} from '../structures/key.js';
import { SigScheme } from '../structures/key-parms.js';
import { ALL_LOCALITIES } from '../structures/pcr-info.js';

const SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];

const CERTIFIERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.IDENTITY, KeyUsage.LEGACY];

const CERTIFIED: readonly number[] = [...CERTIFIERS, KeyUsage.STORAGE, KeyUsage.BIND];

export interface Certified {
  readonly key: KeyWithSecret;
  readonly parentPCRStatus: boolean;
}

const commonOf = ({ key, parentPCRStatus }: Certified, antiReplay: Uint8Array) => ({
  keyUsage: key.keyUsage,
  keyFlags: key.keyFlags,
  authDataUsage: key.authDataUsage,
  algorithmParms: key.algorithmParms,
  pubkeyDigest: sha1(key.pubKey),
  data: antiReplay,
  parentPCRStatus,
});

export function certify1(target: Certified, antiReplay: Uint8Array): CertifyInfo {
  const { pcrs11, pcrs12 } = target.key;
  const info = pcrs11 ?? (pcrs12 && { ...pcrs12, pcrSelection: pcrs12.releasePCRSelection });
  return {
    version: STRUCT_VER_1_1,
    ...commonOf(target, antiReplay),
    pcrInfo: info && { ...info, digestAtCreation: noBytes20() },
  };
}

function certify2(
  target: Certified,
  antiReplay: Uint8Array,
  migrationAuthority: Uint8Array = new Uint8Array(),
): CertifyInfo2 {
  const { pcrs11, pcrs12, secret } = target.key;
  const localityAtRelease = pcrs12?.localityAtRelease ?? ALL_LOCALITIES;
  const info = pcrs11 ?? (pcrs12 && { ...pcrs12, pcrSelection: pcrs12.releasePCRSelection });
  return {
    fill: 0,
    payloadType: secret.payload,
    ...commonOf(target, antiReplay),
    pcrInfo: info && { ...info, localityAtRelease },
    migrationAuthority,
  };
}

/** Either form of what is certified. */
const anyInfo: Codec<CertifyInfo | CertifyInfo2> = {
  size: undefined,
  read: from => certifyInfo.read(from),
  write: (to, info) =>
    'version' in info ? certifyInfo.write(to, info) : certifyInfo2.write(to, info),
};

/**
 * Demands the authorisation of a key: by its own session, or that the key needs none. A key that
 * signs must never need one then; a key that is looked at must not always need one.
 */
function authoriseBy(
  auth: GuestAuth | undefined,
  key: KeyWithSecret,
  role: 'signs' | 'shown',
  otherwise?: AuthRefusal,
): void {
  if (auth !== undefined) auth.authorise(entityOfKey(key), undefined, otherwise);
  else {
    const open =
      role === 'signs'
        ? key.authDataUsage === AuthDataUsage.NEVER
        : key.authDataUsage !== AuthDataUsage.ALWAYS;
    demand(open, 'AUTHFAIL');
  }
}

function demandUsages(cert: KeptKey, target: KeptKey): void {
  demand(CERTIFIERS.includes(cert.keyUsage), 'INVALID_KEYUSAGE');
  demand(CERTIFIED.includes(target.keyUsage), 'INVALID_KEYUSAGE');
}

const isCertifier = (cert: KeptKey): boolean => SCHEMES.includes(cert.algorithmParms.sigScheme);

/** Certifies a key that never leaves its TPM, or that migrates freely. */
export const certifyKey = command({
  ordinal: 'CertifyKey',
  auth: 'upToTwo',
  when: 'owned',
  delegable: { key: 12 },
  handles: { certHandle: 'key', keyHandle: 'key' },
  input: { antiReplay: nonce },
  output: { certifyInfo: anyInfo, outData: sizedBuffer },
  run(call, { certHandle, keyHandle, antiReplay }) {
    const { key: cert } = findKey(call, certHandle);
    const target = findKey(call, keyHandle);
    demand(isCertifier(cert), 'BAD_KEY_PROPERTY');
    const [certAuth, keyAuth] = authsOf(call);
    authoriseBy(certAuth, cert, 'signs');
    authoriseBy(keyAuth, target.key, 'shown', 'AUTH2FAIL');
    demand(target.key.secret.payload === Payload.ASYM, 'INVALID_KEYUSAGE');
    const leaves = cert.keyUsage === KeyUsage.IDENTITY && hasFlag(target.key, 'MIGRATABLE');
    demand(!leaves, 'MIGRATEFAIL');
    demandUsages(cert, target.key);
    const info = isNewer(target.key) ? certify2(target, antiReplay) : certify1(target, antiReplay);
    return { certifyInfo: info, outData: signWith(cert, sha1(encode(anyInfo, info))) };
  },
});

/** The authorisations of a command whose first one may be left out. */
const authsOf = ({ auths }: Call): (GuestAuth | undefined)[] =>
  auths.length === 2 ? [...auths] : [undefined, auths[0]];

/** Bytes of a PCR selection that TPM 1.1 knew. */
const OLD_SELECTION_BYTES = 2;

/** Whether a key asks for PCRs or localities that TPM_CERTIFY_INFO cannot tell of. */
const isNewer = (key: KeptKey): boolean =>
  (key.pcrs11 ?? key.pcrs12) !== undefined &&
  (usesPcrs(key, OLD_SELECTION_BYTES) || localitiesOf(key) !== ALL_LOCALITIES);

/** Certifies a key, also one that migrates under the rules of an authority. */
export const certifyKey2 = command({
  ordinal: 'CertifyKey2',
  auth: 'upToTwo',
  when: 'owned',
  delegable: { key: 13 },
  handles: { keyHandle: 'key', certHandle: 'key' },
  input: { migrationPubDigest: digest, antiReplay: nonce },
  output: { certifyInfo: certifyInfo2, outData: sizedBuffer },
  run(call, { keyHandle, certHandle, migrationPubDigest, antiReplay }) {
    const target = findKey(call, keyHandle);
    const { key: cert } = findKey(call, certHandle);
    demand(isCertifier(cert), 'BAD_KEY_PROPERTY');
    const [keyAuth, certAuth] = authsOf(call);
    authoriseBy(keyAuth, target.key, 'shown');
    authoriseBy(certAuth, cert, 'signs', 'AUTH2FAIL');
    const { payload } = target.key.secret;
    const restricted = RESTRICTED.includes(payload);
    const underAuthority = hasFlag(target.key, 'MIGRATEAUTHORITY') && restricted;
    const leaves = cert.keyUsage === KeyUsage.IDENTITY && hasFlag(target.key, 'MIGRATABLE');
    demand(!leaves || underAuthority, 'MIGRATEFAIL');
    demandUsages(cert, target.key);
    if (restricted) demandAuthority(call, target.key, migrationPubDigest);
    const authority = restricted ? sha1(migrationPubDigest, Uint8Array.of(payload)) : undefined;
    const info = certify2(target, antiReplay, authority);
    return { certifyInfo: info, outData: signWith(cert, sha1(encode(certifyInfo2, info))) };
  },
});

const RESTRICTED: readonly number[] = [Payload.MIGRATE_RESTRICTED, Payload.MIGRATE_EXTERNAL];

function demandAuthority(call: Call, key: KeyWithSecret, msaDigest: Uint8Array): void {
  const expected = migrationProof(call, { msaDigest, pubKeyDigest: pubkeyDigest(key) });
  demand(sameSecret(expected, key.secret.migrationAuth), 'MA_SOURCE');
}
