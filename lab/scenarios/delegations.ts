/**
 * Delegation: families, rows, blobs, and the sessions that they open (TPM Main Part 3 §18.3, §18.4,
 * §19).
 * @module
 */
import {
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  osapShared,
  raw,
  type Session,
} from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, DIGEST, restart, start } from './common.js';
import { DATA, KEY, make, SIGNING_DER, STORAGE } from './keys-common.js';

const { byte, counted, rawCommand, selection, word16 } = raw;
const ZEROS = new Uint8Array(20);
const n4 = (value: number) =>
  Uint8Array.of(value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value);
const OWNER_BITS = 1;
const KEY_BITS = 2;
const ALL = 0xffff_ffff;
const ALL_KEY = 0x1fff_ffff;
const ENTITY_ROW = 8;

const manage = (family: number, op: number, data: Uint8Array) =>
  rawCommand('Delegate_Manage', 0, family, op, counted(data));
const readTable = rawCommand('Delegate_ReadTable', 0);
const readEk = commands.ownerReadInternalPub(HANDLE.EK);

interface Wanted {
  readonly family?: number;
  readonly type?: number;
  readonly per1?: number;
  readonly per2?: number;
  readonly pcrs?: Uint8Array;
  readonly count?: number;
}
const anyPcr = concat(selection(), byte(0x1f), ZEROS);
/** A TPM_DELEGATE_PUBLIC. */
const pub = ({
  family = 1,
  type = OWNER_BITS,
  per1 = ALL,
  per2 = 0,
  pcrs = anyPcr,
  count = 0,
}: Wanted = {}) =>
  concat(
    word16(0x1b),
    byte(0x55),
    pcrs,
    word16(0x1a),
    n4(type),
    n4(per1),
    n4(per2),
    n4(family),
    n4(count),
  );

/** TPM_Delegate_CreateOwnerDelegation; gives the blob. */
function forOwner(tpm: Recorder, what: string, wanted: Wanted = {}, increment = 0, owner = OWNER) {
  const session = tpm.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, owner);
  if (session === undefined) return undefined;
  const command = rawCommand(
    'Delegate_CreateOwnerDelegation',
    0,
    byte(increment),
    pub(wanted),
    encryptAuth(session, DATA),
  );
  return tpm.auth(what, command, owner, { session }).value?.slice(4);
}

function forKey(tpm: Recorder, what: string, handle: number, wanted: Wanted = {}) {
  const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE, handle, KEY);
  if (session === undefined) return undefined;
  const asked = pub({ type: KEY_BITS, per1: ALL_KEY, ...wanted });
  const command = rawCommand(
    'Delegate_CreateKeyDelegation',
    1,
    handle,
    asked,
    encryptAuth(session, DATA),
  );
  return tpm.auth(what, command, KEY, { session }).value?.slice(4);
}

/** TPM_DSAP; gives the session. */
function dsap(
  tpm: Recorder,
  what: string,
  type: number,
  handle: number,
  value: Uint8Array,
): Session | undefined {
  const nonceOdd = tpm.nonce();
  const opened = tpm.do(
    what,
    rawCommand('DSAP', 0, word16(type), handle, nonceOdd, counted(value)),
  );
  if (opened === undefined) return undefined;
  return {
    handle: Buffer.from(opened).readUInt32BE(),
    nonceEven: opened.slice(4, 24),
    shared: osapShared(DATA, opened.slice(24, 44), nonceOdd),
  };
}

const verify = (one: Uint8Array) => rawCommand('Delegate_VerifyDelegation', 0, counted(one));
const loadRow = (index: number, one: Uint8Array) =>
  rawCommand('Delegate_LoadOwnerDelegation', 0, index, one.length, one);
const point = (type: number, value: number) =>
  rawCommand('SetOwnerPointer', 0, word16(type), value);
const bentAt = (blob: Uint8Array, at: number) =>
  blob.map((one, index) => (index === at ? one ^ 1 : one));

/** Delegations of the owner's authority, before and after their family is enabled; gives the blob of all. */
function createAndVerify(tpm: Recorder): Uint8Array {
  const blob = forOwner(tpm, 'everything')!;
  forOwner(tpm, 'by another', {}, 0, WRONG);
  forOwner(tpm, "a key's", { type: KEY_BITS, per1: 1 });
  forOwner(tpm, 'type 3', { type: 3 });
  forOwner(tpm, 'per2', { per2: 1 });
  forOwner(tpm, 'a family that is none', { family: 9 });
  tpm.do('verified: disabled', verify(blob));
  dsap(tpm, 'a session: disabled', 7, 0, blob);
  tpm.auth('enabled', manage(1, 2, byte(1)), OWNER);
  tpm.do('verified', verify(blob));
  for (const at of [0, 1, 3, 40, 60, 70, blob.length - 1]) {
    tpm.do(`verified: bent in byte ${at}`, verify(bentAt(blob, at)));
    dsap(tpm, `a session: bent in byte ${at}`, 7, 0, bentAt(blob, at));
  }
  tpm.do('verified: nothing', verify(new Uint8Array()));
  return blob;
}

/** What sessions of blobs may do, and where; gives a blob that may only read the EK. */
function useBlobs(tpm: Recorder, blob: Uint8Array): Uint8Array {
  let session = dsap(tpm, 'a session', 7, 0, blob);
  session = tpm.auth('it reads the EK', readEk, DATA, { session, goOn: true }).session;
  session = tpm.auth('it reads the SRK', commands.ownerReadInternalPub(HANDLE.SRK), DATA, {
    session,
    goOn: true,
  }).session;
  tpm.auth(
    'it may not change who the owner is',
    rawCommand('ChangeAuthOwner', 0, word16(4), DATA, word16(2)),
    DATA,
    { session },
  );
  const little = forOwner(tpm, 'only to read the EK', { per1: 2 ** 18 })!;
  session = dsap(tpm, 'a session', 7, 0, little);
  session = tpm.auth('it reads the EK', readEk, DATA, { session, goOn: true }).session;
  tpm.auth('it may not clear', commands.ownerClear(), DATA, { session });
  const there = forOwner(tpm, 'for PCR 16', { pcrs: concat(selection(16), byte(0x1f), DIGEST) })!;
  tpm.auth('with other PCRs', readEk, DATA, { session: dsap(tpm, 'a session', 7, 0, there) });
  const elsewhere = forOwner(tpm, 'for locality 3', {
    pcrs: concat(selection(), byte(8), ZEROS),
  })!;
  tpm.auth('from here', readEk, DATA, { session: dsap(tpm, 'a session', 7, 0, elsewhere) });
  return little;
}

/** Rows of the table, and the sessions that they open. */
function useRows(tpm: Recorder, blob: Uint8Array): void {
  tpm.auth('a row', loadRow(1, blob), OWNER);
  tpm.do('not authorised', loadRow(1, blob));
  tpm.auth('row 4', loadRow(4, blob), OWNER);
  tpm.auth('bent', loadRow(1, bentAt(blob, 70)), OWNER);
  tpm.do('the table', readTable);
  const byRow = dsap(tpm, 'a session of the row', ENTITY_ROW, 0, n4(1));
  dsap(tpm, 'a session of no row', ENTITY_ROW, 0, n4(0));
  dsap(tpm, 'a session of row 4', ENTITY_ROW, 0, n4(4));
  dsap(tpm, 'a session of half a row', ENTITY_ROW, 0, word16(1));
  dsap(tpm, 'a session of entity 2', 2, 0, n4(1));
  tpm.auth('it reads the EK', readEk, DATA, { session: byRow });
}

/** TPM_SetOwnerPointer: the row stands for the owner. */
function pointAtRow(tpm: Recorder): void {
  tpm.do('the pointer to a key', point(1, 0));
  tpm.do('the pointer to no row', point(ENTITY_ROW, 0));
  tpm.do('the pointer to the row', point(ENTITY_ROW, 1));
  tpm.auth('the row reads the EK', readEk, DATA);
  tpm.auth('the owner does not', readEk, OWNER);
  const pointed = tpm.osap('a session of the row', ENTITY.OWNER, HANDLE.OWNER, DATA);
  tpm.auth('the row reads the EK in it', readEk, DATA, { session: pointed });
  tpm.auth('the row manages', manage(1, 2, byte(1)), DATA);
  tpm.do('the pointer to the owner', point(2, 0));
  tpm.auth('the owner reads the EK', readEk, OWNER);
}

/** A delegation that itself delegates. */
function delegateFrom(tpm: Recorder, what: string, blob: Uint8Array): void {
  const session = dsap(tpm, 'a session', 7, 0, blob);
  if (session === undefined) return;
  const more = rawCommand(
    'Delegate_CreateOwnerDelegation',
    0,
    byte(0),
    pub({ per1: 2 ** 18 }),
    encryptAuth(session, DATA),
  );
  tpm.auth(what, more, DATA, { session });
}

function manageAndDelegate(tpm: Recorder, blob: Uint8Array, little: Uint8Array): void {
  const managing = dsap(tpm, 'a session', 7, 0, blob);
  tpm.auth('it manages its family', manage(1, 2, byte(1)), DATA, { session: managing });
  const stranger = dsap(tpm, 'a session', 7, 0, blob);
  tpm.auth('it does not manage another', manage(2, 2, byte(1)), DATA, { session: stranger });
  delegateFrom(tpm, 'it may not delegate', little);
  delegateFrom(tpm, 'it delegates', blob);
}

/** A new verification count invalidates what was made before, until it is updated. */
function updateVerification(tpm: Recorder, blob: Uint8Array): void {
  const anew = forOwner(tpm, 'with a new count', {}, 1)!;
  tpm.do('verified: the old', verify(blob));
  tpm.do('verified: the new', verify(anew));
  dsap(tpm, 'a session of the old', 7, 0, blob);
  dsap(tpm, 'a session of the row', ENTITY_ROW, 0, n4(1));
  tpm.do('the pointer to the old row', point(ENTITY_ROW, 1));
  const update = (data: Uint8Array) => rawCommand('Delegate_UpdateVerification', 0, counted(data));
  const updated = tpm.auth('the old is updated', update(blob), OWNER).value!;
  tpm.do('verified: the updated', verify(updated.slice(4)));
  tpm.auth('the row is updated', update(n4(1)), OWNER);
  tpm.auth('no row is updated', update(n4(0)), OWNER);
  tpm.auth('by another', update(blob), WRONG);
  tpm.auth('bent', update(bentAt(blob, 70)), OWNER);
  tpm.auth('of another tag', update(DIGEST), OWNER);
  dsap(tpm, 'a session of the row', ENTITY_ROW, 0, n4(1));
}

function ofOwner(tpm: Recorder): void {
  start(tpm);
  tpm.auth('a family', manage(0, 1, byte(0x41)), OWNER);
  tpm.auth('another', manage(0, 1, byte(0x42)), OWNER);
  const blob = createAndVerify(tpm);
  const little = useBlobs(tpm, blob);
  useRows(tpm, blob);
  pointAtRow(tpm);
  manageAndDelegate(tpm, blob, little);
  updateVerification(tpm, blob);
  tpm.do('the table', readTable);
  restart(tpm);
  dsap(tpm, 'after a restart: a session of the row', ENTITY_ROW, 0, n4(1));
}

/** A TPM_DELEGATE_OWNER_BLOB as it is before there is an owner: its secret in clear, without a digest. */
const clearBlob = (publicInfo: Uint8Array, sensitive: Uint8Array) =>
  concat(word16(0x2a), publicInfo, ZEROS, counted(new Uint8Array()), counted(sensitive));

function loadUnowned(tpm: Recorder): void {
  const sensitive = concat(word16(0x26), DATA);
  const blob = clearBlob(pub({ count: 1 }), sensitive);
  tpm.do('a row', loadRow(0, blob));
  tpm.do('row 4', loadRow(4, blob));
  tpm.do('of no family', loadRow(1, clearBlob(pub({ family: 9 }), sensitive)));
  const ofKey = clearBlob(pub({ type: KEY_BITS, per1: 1 }), sensitive);
  tpm.do("with a key's permissions", loadRow(1, ofKey));
  tpm.do('without a secret', loadRow(1, clearBlob(pub(), DIGEST)));
  tpm.do('locked', manage(1, 3, byte(1)));
  tpm.do('a row of a locked family', loadRow(1, blob));
}

function unowned(tpm: Recorder): void {
  start(tpm);
  bePresent(tpm);
  tpm.do('a family', manage(0, 1, byte(0x41)));
  tpm.do('enabled', manage(1, 2, byte(1)));
  loadUnowned(tpm);
  tpm.do('unlocked', manage(1, 3, byte(0)));
  tpm.do('the table', readTable);
  tpm.do('TPM_SetOwnerPointer', point(ENTITY_ROW, 0));
  tpm.as('take ownership', client => client.takeOwnership(OWNER, SRK));
  tpm.do('the table with an owner', readTable);
  const session = dsap(tpm, 'the row opens a session', ENTITY_ROW, 0, n4(0));
  tpm.auth('which may read the EK', readEk, DATA, { session });
  for (let count = 0; count < 3; count += 1) tpm.do('not any more', manage(1, 2, byte(0)));
}

export const DELEGATIONS = [
  scenario('delegation-families', 'owned', 'Families: made, enabled, locked, ended.', tpm => {
    start(tpm);
    tpm.do('nothing there', readTable);
    tpm.do('not authorised', manage(0, 1, byte(0x41)));
    tpm.auth('a family', manage(0, 1, byte(0x41)), OWNER);
    tpm.auth('another', manage(7, 1, byte(0x42)), OWNER);
    tpm.auth('with a label of two bytes', manage(0, 1, word16(1)), OWNER);
    tpm.auth('by another', manage(0, 1, byte(1)), WRONG);
    tpm.do('the table', readTable);
    for (const [what, op, data] of [
      ['enabled', 2, byte(1)],
      ['disabled', 2, byte(0)],
      ['enabled by 2', 2, byte(2)],
      ['enabled by nothing', 2, new Uint8Array()],
      ['locked', 3, byte(1)],
      ['unlocked', 3, byte(0)],
      ['locked by two bytes', 3, word16(1)],
      ['operation 0', 0, byte(1)],
      ['operation 5', 5, byte(1)],
    ] as const) {
      tpm.auth(`the first: ${what}`, manage(1, op, data), OWNER);
    }
    tpm.do('the table', readTable);
    const session = tpm.osap('a session of the owner', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    const other = tpm.osap('another', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    tpm.auth('the second is enabled in the first', manage(2, 2, byte(1)), OWNER, {
      session,
      goOn: true,
    });
    tpm.auth('the second session', readEk, OWNER, { session: other });
    tpm.auth('the second ends', manage(2, 4, new Uint8Array()), OWNER);
    tpm.auth('again', manage(2, 4, new Uint8Array()), OWNER);
    tpm.auth('a family that is none', manage(9, 2, byte(1)), OWNER);
    for (let count = 3; count <= 18; count += 1)
      tpm.auth(`family ${count}`, manage(0, 1, byte(count)), OWNER);
    tpm.do('the table', readTable);
    tpm.do('a byte more', rawCommand('Delegate_ReadTable', 0, byte(0)));
    tpm.auth('the owner goes, and all of it', commands.ownerClear(), OWNER);
  }),

  scenario('delegation-unowned', 'ek', 'Delegation before there is an owner.', unowned),

  scenario('delegation-daa', 'owned', 'DAA by delegation: the first bits and the last.', tpm => {
    start(tpm);
    tpm.auth('a family', manage(0, 1, byte(0x41)), OWNER);
    tpm.auth('enabled', manage(1, 2, byte(1)), OWNER);
    const count = counted(n4(1));
    const none = counted(new Uint8Array());
    for (const [what, per1] of [
      ['to join', 2 ** 23],
      ['to sign', 1],
      ['for neither', ALL - 2 ** 23 - 1],
    ] as const) {
      const blob = forOwner(tpm, what, { per1 });
      if (blob === undefined) return;
      for (const name of ['DAA_Join', 'DAA_Sign'] as const) {
        const session = dsap(tpm, `a session ${what}`, 7, 0, blob);
        tpm.auth(`${what}: TPM_${name}`, rawCommand(name, 1, 0, byte(0), count, none), DATA, {
          session,
        });
      }
    }
  }),
  scenario('delegation-owner', 'owned', "What is the owner's, by delegation.", ofOwner),

  scenario('delegation-keys', 'owned', 'The use of a key, by delegation.', tpm => {
    start(tpm);
    tpm.auth('a family', manage(0, 1, byte(0x41)), OWNER);
    tpm.auth('enabled', manage(1, 2, byte(1)), OWNER);
    const handle = make(tpm, 'a key', SIGNING_DER);
    const storage = make(tpm, 'a storage key', STORAGE);
    const sign = rawCommand('Sign', 1, handle, counted(DIGEST));
    const blob = forKey(tpm, 'everything', handle)!;
    forKey(tpm, "what is the owner's", handle, { type: OWNER_BITS });
    forKey(tpm, 'bits that are none', handle, { per1: ALL });
    forKey(tpm, 'a family that is none', handle, { family: 9 });
    tpm.do('verified', verify(blob));
    tpm.do('verified: bent', verify(blob.map((one, at) => (at === 80 ? one ^ 1 : one))));
    let session = dsap(tpm, 'a session', 9, handle, blob);
    session = tpm.auth('it signs', sign, DATA, { session, goOn: true }).session;
    tpm.auth('it is not of another key', rawCommand('GetPubKey', 1, storage), DATA, { session });
    session = dsap(tpm, 'a session', 9, handle, blob);
    tpm.auth('it is not the owner', readEk, DATA, { session });
    dsap(tpm, 'a session of another key', 9, storage, blob);
    dsap(tpm, 'a session of no key', 9, 0x1234, blob);
    dsap(tpm, "a session as the owner's", 7, handle, blob);
    const little = forKey(tpm, 'only to sign', handle, { per1: 2 ** 14 })!;
    session = dsap(tpm, 'a session', 9, handle, little);
    session = tpm.auth('it signs', sign, DATA, { session, goOn: true }).session;
    tpm.auth('it does not show itself', rawCommand('GetPubKey', 1, handle), DATA, { session });
    const update = rawCommand('Delegate_UpdateVerification', 0, counted(little));
    tpm.auth('updated', update, OWNER);
    const delegating = dsap(tpm, 'a session', 9, handle, blob);
    if (delegating !== undefined) {
      const asked = pub({ type: KEY_BITS, per1: 2 ** 14 });
      const more = rawCommand(
        'Delegate_CreateKeyDelegation',
        1,
        handle,
        asked,
        encryptAuth(delegating, DATA),
      );
      tpm.auth('it delegates', more, DATA, { session: delegating });
    }
    tpm.auth('the family ends', manage(1, 4, new Uint8Array()), OWNER);
    dsap(tpm, 'a session of it', 9, handle, blob);
    tpm.do('verified: ended', verify(blob));
  }),
];
