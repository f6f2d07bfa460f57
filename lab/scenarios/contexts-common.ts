/**
 * What the scenarios about blobs that leave the TPM share: contexts saved, identities made.
 * @module
 */
import {
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  type Key11,
  key11,
  raw,
} from '../../src/guest/index.js';
import { encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK } from '../recorder/recorder.js';
import { DIGEST } from './common.js';
import { ENC, KEY, parms, SIG, template, USAGE } from './keys-common.js';

const { counted, rawCommand } = raw;
const LABEL = new TextEncoder().encode('sixteen letters.');

export const ZEROS = new Uint8Array(20);
export const readEk = commands.ownerReadInternalPub(HANDLE.EK);
export const sign = (handle: number) => rawCommand('Sign', 1, handle, counted(DIGEST));

/** TPM_SaveContext; gives the blob. */
export const save = (tpm: Recorder, what: string, handle: number, type: number): Uint8Array =>
  tpm.do(what, rawCommand('SaveContext', 1, handle, type, LABEL)) ?? new Uint8Array();

/** `blob` with one bit of one byte changed. */
export function bentAt(blob: Uint8Array, at: number): Uint8Array {
  const bent = blob.slice();
  bent[at]! ^= 1;
  return bent;
}

export const IDENTITY = template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1));

/** TPM_MakeIdentity with the well-known label; gives the wrapped key. */
export function identity(
  tpm: Recorder,
  what: string,
  key: Key11 | Uint8Array = IDENTITY,
  { owner = OWNER, srk = SRK as Uint8Array | undefined } = {},
): Uint8Array | undefined {
  const session = tpm.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, owner);
  if (session === undefined) return undefined;
  const info = key instanceof Uint8Array ? key : encode(key11, key);
  const command = rawCommand('MakeIdentity', 0, encryptAuth(session, KEY), DIGEST, info);
  const forOwner = { secret: owner, session };
  const value =
    srk === undefined
      ? tpm.auth(what, command, owner, { session }).value
      : tpm.auth2(what, command, { secret: srk }, forOwner)?.value;
  // The signature behind the key: its count and its 256 bytes.
  return value?.slice(0, -260);
}
