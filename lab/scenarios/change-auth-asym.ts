/**
 * A secret that is changed without its parent's knowledge of it (TPM Main Part 3 §27).
 * @module
 */
import { encryptTo, HANDLE, keyParms, raw } from '../../src/guest/index.js';
import { hmac } from '../../src/guest/sessions.js';
import { concat, encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import { identity, save, sign } from './contexts-common.js';
import {
  ENC,
  KEY,
  loadIt,
  MIGRATION,
  type Parent,
  parms,
  publicOf,
  SIG,
  SIGNING_DER,
  STORAGE,
  wrap,
} from './keys-common.js';

const { counted, rawCommand, word16 } = raw;

/** TPM_ChangeAuthAsymStart. */
const begin = (handle: number, bits = 512, enc = ENC.OAEP) =>
  rawCommand(
    'ChangeAuthAsymStart',
    1,
    handle,
    DIGEST,
    encode(keyParms, parms(enc, SIG.NONE, bits)),
  );

/** The parameters of TPM_ChangeAuthAsymFinish. */
interface Finish {
  readonly at: number;
  readonly by: number;
  readonly type: number;
  readonly link: Uint8Array;
  readonly auth: Uint8Array;
  readonly enc: Uint8Array;
}
const finish = ({ at, by, type, link, auth, enc }: Finish) =>
  rawCommand('ChangeAuthAsymFinish', 2, at, by, word16(type), link, counted(auth), counted(enc));

/** The handle of the ephemeral key, and the new secret as it is encrypted to that. */
interface Started {
  readonly by: number;
  readonly auth: Uint8Array;
}

/** TPM_ChangeAuthAsymStart of 1024 bits; the ephemeral key's context is saved. */
function started(tpm: Recorder, what: string, id: number): Started {
  const value = tpm.auth(what, begin(id, 1024), KEY).value!;
  // The handle and the key stand at the end: a TPM_KEY of 1024 bits without a secret part.
  const keyBytes = 4 + 2 + 4 + 1 + 12 + 12 + 4 + 4 + 128 + 4;
  const by = Buffer.from(value).readUInt32BE(value.length - keyBytes - 4);
  save(tpm, 'its context', by, 1);
  return { by, auth: encryptTo(publicOf(value.slice(-keyBytes)), concat(MIGRATION, DIGEST)) };
}

function refusedStarts(tpm: Recorder, id: number, wrapped: Uint8Array): void {
  tpm.auth('a signing key begins', begin(loadIt(tpm, 'load a key', wrapped)!), KEY);
  tpm.auth('a wrong secret', begin(id), WRONG);
  tpm.do('not authorised', begin(id));
  tpm.auth('256 bits', begin(id, 256), KEY);
  tpm.auth('with PKCS', begin(id, 512, ENC.PKCS), KEY);
}

/** TPM_ChangeAuthAsymFinish with one thing wrong, and as it should be; the key has the new secret. */
function changeSecret(tpm: Recorder, right: Finish, id: number, child: Uint8Array, parent: Parent) {
  const bad: Readonly<Record<string, Partial<Finish>>> = {
    'another type': { type: 2 },
    'another link': { link: DIGEST },
    'nonsense for the secret': { auth: new Uint8Array(128).fill(1) },
    'nonsense for the key': { enc: new Uint8Array(256).fill(1) },
    'a key that is not of the moment': { by: id },
    'no key': { by: 0x1234 },
  };
  for (const [what, one] of Object.entries(bad)) tpm.auth(what, finish({ ...right, ...one }), KEY);
  tpm.auth('a wrong secret', finish(right), WRONG);
  tpm.do('not authorised', finish(right));
  const done = tpm.auth('it is done', finish(right), KEY).value!;
  tpm.auth('again', finish(right), KEY);
  const anew = concat(child.slice(0, -256), done.slice(4, 260));
  const handle = loadIt(tpm, 'load it', anew, parent)!;
  tpm.auth('the old secret', sign(handle), KEY);
  tpm.auth('the new secret', sign(handle), MIGRATION);
}

function changeAuthAsym(tpm: Recorder): void {
  start(tpm);
  const id = loadIt(tpm, 'load the identity', identity(tpm, 'an identity')!)!;
  const wrapped = wrap(tpm, 'a key', SIGNING_DER)!;
  const storage = wrap(tpm, 'a storage key', STORAGE)!;
  const parent = { handle: loadIt(tpm, 'load it', storage)!, secret: KEY };
  const child = wrap(tpm, 'a key under it', SIGNING_DER, parent)!;
  refusedStarts(tpm, id, wrapped);
  const common = { at: parent.handle, type: 5, link: hmac(KEY, MIGRATION), enc: child.slice(-256) };
  changeSecret(tpm, { ...common, ...started(tpm, 'it begins', id) }, id, child, parent);
  const again = started(tpm, 'it begins again', id);
  const underSrk = { ...common, ...again, at: HANDLE.SRK, enc: wrapped.slice(-256) };
  tpm.auth('under the SRK by its secret', finish(underSrk), SRK);
  tpm.auth('under the SRK by the owner', finish(underSrk), OWNER);
}

export const CHANGES_OF_AUTH_ASYM = [
  scenario(
    'change-auth-asym',
    'owned',
    'TPM_ChangeAuthAsymStart and TPM_ChangeAuthAsymFinish.',
    changeAuthAsym,
  ),
];
