/**
 * What the scenarios about keys share: templates of keys of every kind, a key made and loaded, and
 * its secrets.
 * @module
 */
import {
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  type Key11,
  type KeyParms,
  key11,
  pcrsHolding,
  pubKey,
  RSA_2048,
  raw,
  rsaKeyParms,
  SRK_TEMPLATE,
  secretOf,
} from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat, decode, encode } from '../../src/wire/codec.js';
import { type Recorder, SRK } from '../recorder/recorder.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
export const ZEROS = new Uint8Array(20);

export const KEY = secretOf('transcript key');
export const MIGRATION = secretOf('transcript migration');
export const DATA = secretOf('transcript data');

export const USAGE = {
  SIGNING: 0x10,
  STORAGE: 0x11,
  IDENTITY: 0x12,
  AUTHCHANGE: 0x13,
  BIND: 0x14,
  LEGACY: 0x15,
  MIGRATE: 0x16,
};
export const FLAG = { MIGRATABLE: 2, VOLATILE: 4, PCRIGNOREDONREAD: 8, MIGRATEAUTHORITY: 16 };
const NONE = 1;
export const ENC = { NONE, PKCS: 2, OAEP: 3 };
export const SIG = { NONE, SHA1: 2, DER: 3, INFO: 4 };

export const parms = (
  enc: number,
  sig: number,
  bits = 2048,
  exponent = new Uint8Array(),
): KeyParms => ({
  ...RSA_2048,
  encScheme: enc,
  sigScheme: sig,
  parms: encode(rsaKeyParms, { keyLength: bits, numPrimes: 2, exponent }),
});

/** A template of a key. */
export const template = (
  keyUsage: number,
  algorithmParms: KeyParms,
  rest: Partial<Key11> = {},
): Key11 => ({ ...SRK_TEMPLATE, keyUsage, algorithmParms, ...rest });

export const STORAGE = template(USAGE.STORAGE, RSA_2048);
export const SIGNING = template(USAGE.SIGNING, parms(ENC.NONE, SIG.SHA1, 1024));
export const SIGNING_DER = template(USAGE.SIGNING, parms(ENC.NONE, SIG.DER, 512));
export const SIGNING_INFO = template(USAGE.SIGNING, parms(ENC.NONE, SIG.INFO, 1024));
export const BINDING = template(USAGE.BIND, parms(ENC.OAEP, SIG.NONE, 1024));
export const LEGACY = template(USAGE.LEGACY, parms(ENC.PKCS, SIG.SHA1, 1024));

/** A template of TPM 1.2's form, which asks for PCRs and localities. */
export const template12 = (key: Key11, pcrInfoLong: Uint8Array): Uint8Array => {
  const old = encode(key11, { ...key, pcrInfo: pcrInfoLong });
  old.set([0x00, 0x28, 0x00, 0x00]);
  return old;
};

export interface Parent {
  readonly handle: number;
  readonly secret: Uint8Array;
}
export const UNDER_SRK: Parent = { handle: HANDLE.SRK, secret: SRK };

/** TPM_CreateWrapKey in an OSAP session of its own; gives the wrapped key. */
export function wrap(
  tpm: Recorder,
  what: string,
  key: Key11 | Uint8Array,
  parent = UNDER_SRK,
  wrongly: Uint8Array = parent.secret,
): Uint8Array | undefined {
  const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE, parent.handle, wrongly);
  if (session === undefined) return undefined;
  const usage = encryptAuth(session, KEY);
  const nonceOdd = tpm.nonce();
  const migration = encryptAuth(session, MIGRATION, nonceOdd);
  const command = raw.createWrapKey(parent.handle, usage, migration, key);
  return tpm.auth(what, command, parent.secret, { session, nonceOdd }).value;
}

/** TPM_LoadKey2 in an OIAP session of its own; gives the handle. */
export const loadIt = (
  tpm: Recorder,
  what: string,
  key: Uint8Array,
  { handle, secret } = UNDER_SRK,
): number | undefined => tpm.auth(what, raw.loadKey2(handle, key), secret).value;

/** A key made and loaded. */
export function make(
  tpm: Recorder,
  what: string,
  key: Key11 | Uint8Array,
  parent = UNDER_SRK,
): number {
  const wrapped = wrap(tpm, `make ${what}`, key, parent);
  const handle = wrapped === undefined ? undefined : loadIt(tpm, `load ${what}`, wrapped, parent);
  return handle ?? 0;
}

export const drop = (tpm: Recorder, what: string, handle: number): void => {
  tpm.do(`let ${what} go`, commands.flushSpecific(handle, 1));
};

/** The public key out of a wrapped one. */
export const publicOf = (wrapped: Uint8Array) => {
  const { algorithmParms, modulus } = decode(key11, fix12(wrapped));
  return { algorithmParms, modulus };
};
/** A key of TPM 1.2's form as the client reads it. */
const fix12 = (wrapped: Uint8Array): Uint8Array =>
  wrapped[0] === 0 ? concat(Uint8Array.of(1, 1, 0, 0), wrapped.slice(4)) : wrapped;
/** The digest by which certified migration knows a key. */
export const digestOf = (wrapped: Uint8Array): Uint8Array =>
  sha1(encode(pubKey, publicOf(wrapped)));

/** A TPM_PCR_INFO_LONG over PCR 16, for the given localities. */
export const infoLong = (localities: number, digest = pcrZero()): Uint8Array =>
  concat(word16(6), byte(1), byte(localities), selection(16), selection(16), ZEROS, digest);
export const pcrZero = (): Uint8Array => pcrsHolding(new Map([[16, ZEROS]])).digestAtRelease;
/** A TPM_PCR_INFO over one PCR. */
export const info11 = (pcr: number, digest: Uint8Array): Uint8Array =>
  concat(selection(pcr), digest, ZEROS);

/** Uses a key in a session of its own, of either kind. */
export function use(
  tpm: Recorder,
  what: string,
  command: ReturnType<typeof raw.rawCommand>,
  secret = KEY,
): Uint8Array | undefined {
  return tpm.auth(what, command, secret).value;
}

export const sign = (handle: number, area: Uint8Array) =>
  rawCommand('Sign', 1, handle, counted(area));
