/**
 * Secrets that are changed (TPM Main Part 3 §17).
 * @module
 */
import { commands, ENTITY, encryptAuth, HANDLE, raw, secretOf } from '../../src/guest/index.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import { DATA, KEY, loadIt, SIGNING_DER, sign, UNDER_SRK, wrap } from './keys-common.js';

const { counted, rawCommand, word16 } = raw;
const NEW = secretOf('a new secret');
const ADCP = word16(4);
const encOf = (blob: Uint8Array) => blob.slice(-256);
const readEk = commands.ownerReadInternalPub(HANDLE.EK);

/** TPM_ChangeAuth to NEW, in an OSAP session to the parent. */
function change(
  tpm: Recorder,
  what: string,
  type: number,
  blob: Uint8Array,
  old: Uint8Array,
  { protocol = ADCP, parent = UNDER_SRK } = {},
) {
  const { handle, secret } = parent;
  const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE, handle, secret);
  if (session === undefined) return undefined;
  const command = rawCommand(
    'ChangeAuth',
    1,
    handle,
    protocol,
    encryptAuth(session, NEW),
    word16(type),
    counted(blob),
  );
  return tpm.auth2(what, command, { secret, session, goOn: true }, { secret: old, goOn: true });
}

/** `wrapped` with the encrypted part that TPM_ChangeAuth responded with. */
const changedTo = (wrapped: Uint8Array, response: Uint8Array): Uint8Array =>
  new Uint8Array([...wrapped.slice(0, -256), ...response.slice(4)]);

function ofKey(tpm: Recorder, wrapped: Uint8Array): void {
  const changed = change(tpm, 'of the key', ENTITY.KEY, encOf(wrapped), KEY)!;
  const handle = loadIt(tpm, 'load it', changedTo(wrapped, changed.value))!;
  tpm.auth('the old secret', sign(handle, DIGEST), KEY);
  tpm.auth('the new secret', sign(handle, DIGEST), NEW);
  change(tpm, 'a wrong secret', ENTITY.KEY, encOf(wrapped), WRONG);
  change(tpm, 'another type', ENTITY.OWNER, encOf(wrapped), KEY);
  change(tpm, 'as data', ENTITY.DATA, encOf(wrapped), KEY);
  change(tpm, 'another protocol', ENTITY.KEY, encOf(wrapped), KEY, { protocol: word16(3) });
  change(tpm, 'nonsense', ENTITY.KEY, new Uint8Array(256).fill(1), KEY);
  change(tpm, 'too long', ENTITY.KEY, new Uint8Array(257).fill(1), KEY);
  const parent = { handle, secret: NEW };
  change(tpm, 'under a signing key', ENTITY.KEY, encOf(wrapped), KEY, { parent });
}

function ofData(tpm: Recorder): void {
  const session = tpm.osap('a session to seal', ENTITY.KEYHANDLE, HANDLE.SRK, SRK)!;
  const secret = encryptAuth(session, DATA);
  const seal = rawCommand(
    'Seal',
    1,
    HANDLE.SRK,
    secret,
    counted(new Uint8Array()),
    counted(DIGEST),
  );
  const sealed = tpm.auth('seal', seal, SRK, { session }).value!;
  const resealed = change(tpm, 'of the data', ENTITY.DATA, encOf(sealed), DATA)!;
  change(tpm, 'of the data, a wrong secret', ENTITY.DATA, encOf(sealed), WRONG);
  change(tpm, 'of the data as a key', ENTITY.KEY, encOf(sealed), DATA);
  const unseal = raw.unseal(HANDLE.SRK, changedTo(sealed, resealed.value));
  tpm.auth2('the old secret of the data', unseal, { secret: SRK }, { secret: DATA });
  tpm.auth2('the new secret of the data', unseal, { secret: SRK }, { secret: NEW });
}

/** TPM_ChangeAuthOwner in an OSAP session, beside another one. */
function changeOwner(
  tpm: Recorder,
  what: string,
  type: number,
  old: Uint8Array,
  protocol = ADCP,
): void {
  const session = tpm.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, old);
  if (session === undefined) return;
  const other = tpm.osap('another session of the owner', ENTITY.OWNER, HANDLE.OWNER, old);
  const secret = encryptAuth(session, NEW);
  const command = rawCommand('ChangeAuthOwner', 0, protocol, secret, word16(type));
  tpm.auth(what, command, old, { session, goOn: true });
  tpm.auth('the other session', readEk, old, { session: other, goOn: true });
}

function ofOwnerAndSrk(tpm: Recorder, wrapped: Uint8Array): void {
  changeOwner(tpm, 'the SRK', ENTITY.SRK, OWNER);
  tpm.auth('the old secret of the SRK', raw.loadKey2(HANDLE.SRK, wrapped), SRK);
  tpm.auth('the new secret of the SRK', raw.loadKey2(HANDLE.SRK, wrapped), NEW);
  changeOwner(tpm, 'another type', ENTITY.KEY, OWNER);
  changeOwner(tpm, 'another protocol', ENTITY.OWNER, OWNER, word16(5));
  changeOwner(tpm, 'with a wrong secret', ENTITY.OWNER, WRONG);
  changeOwner(tpm, 'the owner', ENTITY.OWNER, OWNER);
  tpm.auth('the old secret', readEk, OWNER);
  tpm.auth('the new secret', readEk, NEW);
  tpm.auth('in an OIAP session', rawCommand('ChangeAuthOwner', 0, ADCP, OWNER, word16(2)), NEW);
}

function changeAuth(tpm: Recorder): void {
  start(tpm);
  const wrapped = wrap(tpm, 'make a key', SIGNING_DER)!;
  ofKey(tpm, wrapped);
  ofData(tpm);
  tpm.auth(
    'with one authorisation',
    rawCommand('ChangeAuth', 1, HANDLE.SRK, ADCP, NEW, word16(5), counted(encOf(wrapped))),
    SRK,
  );
  ofOwnerAndSrk(tpm, wrapped);
}

export const CHANGES_OF_AUTH = [
  scenario('change-auth', 'owned', 'TPM_ChangeAuth and TPM_ChangeAuthOwner.', changeAuth),
];
