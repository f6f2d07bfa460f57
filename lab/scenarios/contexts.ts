/**
 * Contexts: keys and sessions that leave the TPM and come back (TPM Main Part 3 §21, §27).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  HANDLE,
  NV_PER,
  nvPublic,
  pubKey,
  raw,
} from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat, encode } from '../../src/wire/codec.js';
import { AREA, OWNER, type Recorder, SRK, scenario } from '../recorder/recorder.js';
import { restart, start } from './common.js';
import { bentAt, readEk, save, sign, ZEROS } from './contexts-common.js';
import { FLAG, KEY, make, publicOf, SIGNING_DER, STORAGE, wrap } from './keys-common.js';

const { byte, counted, rawCommand, selection } = raw;

const load = (tpm: Recorder, what: string, blob: Uint8Array, { keep = 1, entity = 0 } = {}) =>
  tpm.do(what, rawCommand('LoadContext', 1, entity, byte(keep), blob));

/** A key leaves, comes back under another handle and under its own, and does not where it is damaged. */
function keyAndItsContext(tpm: Recorder): { handle: number; blob: Uint8Array } {
  const handle = make(tpm, 'a key', SIGNING_DER);
  const blob = save(tpm, 'its context', handle, 1);
  const second = load(tpm, 'under another', blob, { keep: 0 });
  tpm.do('the handles', commands.getCapability(CAP.HANDLE, 1));
  tpm.auth(
    'the second signs',
    sign(Number(second === undefined ? 0 : Buffer.from(second).readUInt32BE())),
    KEY,
  );
  tpm.do('the first goes', commands.flushSpecific(handle, 1));
  load(tpm, 'it comes back', blob);
  tpm.auth('it signs', sign(handle), KEY);
  for (const at of [1, 5, 9, 30, 34, 60, blob.length - 1]) {
    load(tpm, `bent in byte ${at}`, bentAt(blob, at), { keep: 0 });
  }
  load(tpm, 'a blob cut short', blob.slice(0, -8), { keep: 0 });
  for (const type of [0, 2, 3, 4, 5, 6, 8, 9]) save(tpm, `as resource type ${type}`, handle, type);
  save(tpm, 'the SRK', HANDLE.SRK, 1);
  return { handle, blob };
}

/** TPM_SaveKeyContext and TPM_LoadKeyContext; gives the old kind of blob. */
function keyInTheOldWay(tpm: Recorder, handle: number, blob: Uint8Array): Uint8Array {
  const old = tpm.do('in the old way', rawCommand('SaveKeyContext', 1, handle))!;
  tpm.do('again', rawCommand('SaveKeyContext', 1, handle));
  tpm.do('back in the old way', rawCommand('LoadKeyContext', 0, old));
  tpm.do('again, under another handle', rawCommand('LoadKeyContext', 0, old));
  tpm.do('the new kind in the old way', rawCommand('LoadKeyContext', 0, blob));
  return old;
}

/** The contexts of a key whose parent wants PCRs, and of a volatile one. */
function boundAndVolatile(tpm: Recorder): { bound: Uint8Array; gone: Uint8Array } {
  const parent = make(tpm, 'a storage key for PCR 16', {
    ...STORAGE,
    pcrInfo: concat(selection(16), sha1(concat(selection(16), counted(ZEROS))), ZEROS),
  });
  const child = make(tpm, 'a key under it', SIGNING_DER, { handle: parent, secret: KEY });
  const bound = save(tpm, 'its context', child, 1);
  const fleeting = make(tpm, 'a volatile key', { ...SIGNING_DER, keyFlags: FLAG.VOLATILE });
  const gone = save(tpm, 'its context', fleeting, 1);
  load(tpm, 'the child again', bound, { keep: 0 });
  load(tpm, 'the volatile one again', gone, { keep: 0 });
  return { bound, gone };
}

function keys(tpm: Recorder): void {
  start(tpm);
  const { handle, blob } = keyAndItsContext(tpm);
  const pub = encode(pubKey, publicOf(wrap(tpm, 'another key', SIGNING_DER)!));
  tpm.auth(
    'control with a wrong public key',
    rawCommand('KeyControlOwner', 1, handle, pub, 1, byte(1)),
    OWNER,
  );
  const old = keyInTheOldWay(tpm, handle, blob);
  const { bound, gone } = boundAndVolatile(tpm);
  restart(tpm);
  load(tpm, 'after a restart', blob);
  load(tpm, 'after a restart: the child', bound);
  load(tpm, 'after a restart: the volatile one', gone);
  tpm.do('after a restart: in the old way', rawCommand('LoadKeyContext', 0, old));
  tpm.auth('it signs', sign(handle), KEY);
}

function oiapSession(tpm: Recorder): void {
  const session = tpm.oiap('a session')!;
  const blob = save(tpm, 'its context', session.handle, 2);
  tpm.auth('it is gone', readEk, OWNER, { session, goOn: true });
  load(tpm, 'it comes back', blob);
  load(tpm, 'once', blob);
  tpm.auth('it works', readEk, OWNER, { session, goOn: true });
  tpm.do('the contexts', commands.getCapability(CAP.HANDLE, 5));
  tpm.define('an NV index', nvPublic(0x1100, 4, NV_PER.AUTHREAD | NV_PER.AUTHWRITE));
}

/** A session to an entity of each kind leaves and comes back, in the new way and in the old. */
function osapSessions(tpm: Recorder, key: number): void {
  const kinds = [
    ['the owner', ENTITY.OWNER, HANDLE.OWNER, OWNER, 0],
    ['the SRK', ENTITY.SRK, HANDLE.SRK, SRK, 0],
    ['the SRK as a key', ENTITY.KEYHANDLE, HANDLE.SRK, SRK, HANDLE.SRK],
    ['a key', ENTITY.KEYHANDLE, key, KEY, key],
    ['an NV index', ENTITY.NV, 0x1100, AREA, 0x1100],
  ] as const;
  for (const [what, type, value, secret, entity] of kinds) {
    const one = tpm.osap(`a session to ${what}`, type, value, secret);
    if (one === undefined) continue;
    const saved = save(tpm, `${what}: its context`, one.handle, 2);
    load(tpm, `${what}: back for nothing`, saved, { entity: 0x1234 });
    load(tpm, `${what}: back`, saved, { entity });
    const old = tpm.do(`${what}: in the old way`, rawCommand('SaveAuthContext', 1, one.handle));
    if (old === undefined) continue;
    tpm.do(`${what}: back in the old way`, rawCommand('LoadAuthContext', 0, old));
    tpm.do(`${what}: back once`, rawCommand('LoadAuthContext', 0, old));
  }
}

/** The contexts of sessions to a key that is evicted, and damaged ones; gives one of them. */
function sessionsOfNoKey(tpm: Recorder, key: number): Uint8Array {
  const other = tpm.osap('a session to the key', ENTITY.KEYHANDLE, key, KEY)!;
  const left = save(tpm, 'its context', other.handle, 2);
  const more = tpm.osap('another to the key', ENTITY.KEYHANDLE, key, KEY)!;
  const oldLeft = tpm.do('in the old way', rawCommand('SaveAuthContext', 1, more.handle))!;
  tpm.do('the key goes', commands.flushSpecific(key, 1));
  load(tpm, 'the session has nothing to come back to', left, { entity: key });
  tpm.do('nor in the old way', rawCommand('LoadAuthContext', 0, oldLeft));
  for (const at of [1, 5, 30, 34, 60, left.length - 1]) {
    load(tpm, `bent in byte ${at}`, bentAt(left, at), { entity: key });
    const old = rawCommand('LoadAuthContext', 0, bentAt(left, at));
    tpm.do(`bent in byte ${at}, in the old way`, old);
  }
  return left;
}

/** Contexts that TPM_FlushSpecific and TPM_Reset invalidate. */
function invalidated(tpm: Recorder): void {
  const last = tpm.oiap('a last one')!;
  const lost = save(tpm, 'its context', last.handle, 2);
  tpm.do(
    'TPM_FlushSpecific of a context',
    commands.flushSpecific(Buffer.from(lost).readUInt32BE(30), 5),
  );
  load(tpm, 'it is gone', lost);
  const reset = tpm.oiap('one more')!;
  const resetBlob = save(tpm, 'its context', reset.handle, 2);
  tpm.do('TPM_Reset', rawCommand('Reset', 0));
  load(tpm, 'it is gone', resetBlob);
}

function sessions(tpm: Recorder): void {
  start(tpm);
  oiapSession(tpm);
  restart(tpm);
  const key = make(tpm, 'a key', SIGNING_DER);
  osapSessions(tpm, key);
  const left = sessionsOfNoKey(tpm, key);
  tpm.do('a session that is none', rawCommand('SaveAuthContext', 1, 0x1234));
  tpm.do('the contexts', commands.getCapability(CAP.HANDLE, 5));
  tpm.do('how many are left', commands.getCapability(CAP.PROPERTY, 0x112));
  invalidated(tpm);
  restart(tpm);
  load(tpm, 'after a restart', left, { entity: key });
}

export const CONTEXTS = [
  scenario('contexts-keys', 'owned', 'Keys that leave and come back.', keys),
  scenario('contexts-sessions', 'owned', 'Sessions that leave and come back.', sessions),
];
