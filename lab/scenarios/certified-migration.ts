/**
 * Certified migration: keys that migrate under the rules of an authority (TPM Main Part 3 §11).
 * @module
 */
import { ENTITY, encryptAuth, HANDLE, key11, pubKey, raw } from '../../src/guest/index.js';
import { sha1 } from '../../src/guest/sessions.js';
import { concat, encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import { IDENTITY, sign } from './contexts-common.js';
import {
  digestOf,
  FLAG,
  KEY,
  loadIt,
  make,
  publicOf,
  SIGNING,
  SIGNING_DER,
  STORAGE,
  template12,
  wrap,
} from './keys-common.js';

const { counted, rawCommand, word16 } = raw;
const BOTH_KEYS = [{ secret: KEY }, { secret: KEY }] as const;
const EMPTY = new Uint8Array();
const NONSENSE = new Uint8Array(256).fill(1);

/** A TPM_MSA_COMPOSITE of one authority. */
const listOf = (digest: Uint8Array): Uint8Array => concat(Uint8Array.of(0, 0, 0, 1), digest);
const approve = (digest: Uint8Array) => rawCommand('CMK_ApproveMA', 0, digest);

/** A migration authority: its key, and the owner's approval of the list with it. */
interface Authority {
  readonly wrapped: Uint8Array;
  readonly handle: number;
  readonly list: Uint8Array;
  readonly approval: Uint8Array;
}

/** A key that it certifies: wrapped, and loaded. */
interface Certified {
  readonly wrapped: Uint8Array;
  readonly handle: number;
}

function setRestrictions(tpm: Recorder): void {
  const restrict = (value: number) => rawCommand('CMK_SetRestrictions', 0, value);
  tpm.auth('restrictions', restrict(0x1f), OWNER);
  tpm.auth('the same', restrict(0x1f), OWNER);
  tpm.auth('by another', restrict(0), WRONG);
}

function approveAuthority(tpm: Recorder): Authority {
  const wrapped = wrap(tpm, 'the key of the authority', SIGNING)!;
  const handle = loadIt(tpm, 'load it', wrapped)!;
  const list = listOf(digestOf(wrapped));
  const approval = tpm.auth('the owner approves', approve(sha1(list)), OWNER).value!;
  tpm.auth('another approves', approve(sha1(list)), WRONG);
  return { wrapped, handle, list, approval };
}

/** TPM_CMK_CreateKey in an OSAP session of its own; gives the wrapped key. */
function createKey(
  tpm: Recorder,
  what: string,
  key: Uint8Array,
  approved: Uint8Array,
  digest: Uint8Array,
): Uint8Array | undefined {
  const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
  if (session === undefined) return undefined;
  const command = rawCommand(
    'CMK_CreateKey',
    1,
    HANDLE.SRK,
    encryptAuth(session, KEY),
    key,
    approved,
    digest,
  );
  return tpm.auth(what, command, SRK, { session }).value;
}

const certified = (flags: number) => template12({ ...SIGNING_DER, keyFlags: flags }, EMPTY);
const CERTIFIED_FLAGS = FLAG.MIGRATABLE + FLAG.MIGRATEAUTHORITY;

function createKeys(tpm: Recorder, { list, approval }: Authority): Certified {
  const create = (what: string, key: Uint8Array, approved = approval, digest = sha1(list)) =>
    createKey(tpm, what, key, approved, digest);
  const wrapped = create('a certified key', certified(CERTIFIED_FLAGS))!;
  create('that does not migrate', certified(FLAG.MIGRATEAUTHORITY));
  create('without an authority', certified(FLAG.MIGRATABLE));
  create('without an approval', certified(CERTIFIED_FLAGS), DIGEST);
  create('for another authority', certified(CERTIFIED_FLAGS), approval, DIGEST);
  create('of TPM 1.1', encode(key11, { ...SIGNING_DER, keyFlags: CERTIFIED_FLAGS }));
  create('an identity', template12({ ...IDENTITY, keyFlags: CERTIFIED_FLAGS }, EMPTY));
  const handle = loadIt(tpm, 'load it', wrapped)!;
  tpm.auth('it signs', sign(handle), KEY);
  return { wrapped, handle };
}

/** TPM_CertifyKey and TPM_CertifyKey2; gives the key that certifies. */
function certifyKey(tpm: Recorder, { handle }: Certified, { list }: Authority): number {
  const cert = make(tpm, 'a key that certifies', SIGNING);
  const certify2 = (msa: Uint8Array) => rawCommand('CertifyKey2', 2, handle, cert, msa, DIGEST);
  tpm.auth2('it is certified', certify2(sha1(list)), ...BOTH_KEYS);
  tpm.auth2('for another authority', certify2(DIGEST), ...BOTH_KEYS);
  tpm.auth2('in the old way', rawCommand('CertifyKey', 2, cert, handle, DIGEST), ...BOTH_KEYS);
  return cert;
}

/** What the authority signs, and the ticket for it. */
interface Leave {
  readonly restrictions: Uint8Array;
  readonly ticket: Uint8Array;
}

/** TPM_CMK_CreateTicket for the authority's signature, and for what is none. */
function createTickets(
  tpm: Recorder,
  authority: Authority,
  key: Uint8Array,
  to: Uint8Array,
): Leave {
  const restrictions = concat(digestOf(authority.wrapped), digestOf(to), digestOf(key));
  const signed = tpm.auth(
    'the authority signs',
    rawCommand('Sign', 1, authority.handle, counted(sha1(restrictions))),
    KEY,
  ).value!;
  const ticketOf = (pub: Uint8Array, data: Uint8Array, signature: Uint8Array) =>
    rawCommand('CMK_CreateTicket', 0, pub, data, signature);
  const pub = encode(pubKey, publicOf(authority.wrapped));
  const ticket = tpm.auth('a ticket', ticketOf(pub, sha1(restrictions), signed), OWNER).value!;
  tpm.auth('of another digest', ticketOf(pub, DIGEST, signed), OWNER);
  const noSignature = counted(new Uint8Array(128).fill(1));
  tpm.auth('of no signature', ticketOf(pub, DIGEST, noSignature), OWNER);
  tpm.auth('of a short signature', ticketOf(pub, DIGEST, counted(DIGEST)), OWNER);
  tpm.auth('of a storage key', ticketOf(encode(pubKey, publicOf(to)), DIGEST, signed), OWNER);
  tpm.auth('by another', ticketOf(pub, sha1(restrictions), signed), WRONG);
  return { restrictions, ticket };
}

/** TPM_AuthorizeMigrationKey; gives the TPM_MIGRATIONKEYAUTH. */
const leaveFor = (tpm: Recorder, what: string, scheme: number, wrapped: Uint8Array) =>
  tpm.auth(
    what,
    rawCommand('AuthorizeMigrationKey', 0, word16(scheme), encode(pubKey, publicOf(wrapped))),
    OWNER,
  ).value!;

/** The parameters of TPM_CMK_CreateBlob. */
interface BlobParts {
  readonly source: Uint8Array;
  readonly msa: Uint8Array;
  readonly restrictions: Uint8Array;
  readonly sig: Uint8Array;
  readonly enc: Uint8Array;
}
const createBlob = (leave: Uint8Array, { source, msa, restrictions, sig, enc }: BlobParts) =>
  rawCommand(
    'CMK_CreateBlob',
    1,
    HANDLE.SRK,
    word16(1),
    leave,
    source,
    counted(msa),
    counted(restrictions),
    counted(sig),
    counted(enc),
  );

/** TPM_CMK_CreateBlob as it should be, and with one thing wrong; gives the blob. */
function createBlobs(tpm: Recorder, parts: BlobParts, to: Uint8Array): Uint8Array {
  const leave = leaveFor(tpm, 'leave', 5, to);
  const blob = tpm.auth('a blob', createBlob(leave, parts), SRK).value!;
  const wrong: Readonly<Record<string, Partial<BlobParts>>> = {
    'another source': { source: DIGEST },
    'another list': { msa: listOf(DIGEST) },
    'an empty list': { msa: Uint8Array.of(0, 0, 0, 0) },
    'a list cut short': { msa: parts.msa.slice(0, -1) },
    'other restrictions': { restrictions: DIGEST },
    'another ticket': { sig: DIGEST },
    'no ticket': { sig: EMPTY },
    'another key': { enc: to.slice(-256) },
    nonsense: { enc: NONSENSE },
  };
  for (const [what, one] of Object.entries(wrong)) {
    tpm.auth(what, createBlob(leave, { ...parts, ...one }), SRK);
  }
  tpm.auth('a wrong secret', createBlob(leave, parts), WRONG);
  const otherScheme = createBlob(leaveFor(tpm, 'leave to migrate', 1, to), parts);
  tpm.auth('with the leave of another scheme', otherScheme, SRK);
  const elsewhere = wrap(tpm, 'a key elsewhere', STORAGE)!;
  const toElsewhere = createBlob(leaveFor(tpm, 'leave for elsewhere', 5, elsewhere), parts);
  tpm.auth('to elsewhere', toElsewhere, SRK);
  return blob;
}

/** Blobs for an authority that itself migrates the key; gives that key. */
function blobsForAuthority(tpm: Recorder, { restrictions, ticket }: Leave, to: Uint8Array) {
  const wrapped = wrap(tpm, 'an authority that migrates', STORAGE)!;
  const list = listOf(digestOf(wrapped));
  const approval = tpm.auth('the owner approves of it', approve(sha1(list)), OWNER).value!;
  const what = 'a key of that authority';
  const key = createKey(tpm, what, certified(CERTIFIED_FLAGS), approval, sha1(list))!;
  const leave = leaveFor(tpm, 'leave for that authority', 4, wrapped);
  const parts = {
    source: digestOf(key),
    msa: list,
    enc: key.slice(-256),
    restrictions: EMPTY,
    sig: EMPTY,
  };
  tpm.auth('a blob for that authority', createBlob(leave, parts), SRK);
  tpm.auth('with a ticket', createBlob(leave, { ...parts, sig: ticket }), SRK);
  tpm.auth('with restrictions', createBlob(leave, { ...parts, restrictions }), SRK);
  tpm.auth('for another', createBlob(leaveFor(tpm, 'leave for another', 4, to), parts), SRK);
  return key;
}

/** TPM_CMK_ConvertMigration as it should be, and with one thing wrong; gives the key that arrived. */
function arrive(
  tpm: Recorder,
  {
    key,
    list,
    leave,
    toHandle,
  }: {
    readonly key: Uint8Array;
    readonly list: Uint8Array;
    readonly leave: Leave;
    readonly toHandle: number;
  },
  blob: Uint8Array,
  otherKey: Uint8Array,
): number {
  const random = blob.slice(4, 4 + Buffer.from(blob).readUInt32BE());
  const data = blob.slice(8 + random.length);
  const convert = ({
    restrictions = leave.restrictions,
    sig = leave.ticket,
    msa = list,
    with_ = random,
    handle = toHandle,
    head = key,
  } = {}) =>
    rawCommand(
      'CMK_ConvertMigration',
      1,
      handle,
      restrictions,
      sig,
      concat(head.slice(0, -256), data),
      counted(msa),
      counted(with_),
    );
  const converted = tpm.auth('it arrives', convert(), KEY).value!;
  const bad = {
    'other restrictions': { restrictions: concat(DIGEST, DIGEST, DIGEST) },
    'another ticket': { sig: DIGEST },
    'another list': { msa: listOf(DIGEST) },
    'other random bytes': { with_: random.map(one => one ^ 1) },
    'fewer of them': { with_: random.slice(1) },
    'another key': { head: otherKey },
  };
  for (const [what, one] of Object.entries(bad)) tpm.auth(what, convert(one), KEY);
  tpm.auth('a wrong secret', convert(), WRONG);
  tpm.auth('under the SRK', convert({ handle: HANDLE.SRK }), SRK);
  const arrived = concat(key.slice(0, -256), converted.slice(4));
  return loadIt(tpm, 'it loads', arrived, { handle: toHandle, secret: KEY }) ?? 0;
}

function certifiedMigration(tpm: Recorder): void {
  start(tpm);
  setRestrictions(tpm);
  const authority = approveAuthority(tpm);
  const { list } = authority;
  const key = createKeys(tpm, authority);
  const cert = certifyKey(tpm, key, authority);
  const to = wrap(tpm, 'the key to migrate to', STORAGE)!;
  const toHandle = loadIt(tpm, 'load it', to)!;
  const leave = createTickets(tpm, authority, key.wrapped, to);
  const parts = {
    source: digestOf(key.wrapped),
    msa: list,
    restrictions: leave.restrictions,
    sig: leave.ticket,
    enc: key.wrapped.slice(-256),
  };
  const blob = createBlobs(tpm, parts, to);
  const otherKey = blobsForAuthority(tpm, leave, to);
  const there = arrive(tpm, { key: key.wrapped, list, leave, toHandle }, blob, otherKey);
  tpm.auth('it signs', sign(there), KEY);
  const certifyThere = rawCommand('CertifyKey2', 2, there, cert, sha1(list), DIGEST);
  tpm.auth2('it is certified there', certifyThere, ...BOTH_KEYS);
}

export const CERTIFIED_MIGRATIONS = [
  scenario(
    'migration-certified',
    'owned',
    'Keys that migrate under the rules of an authority.',
    certifiedMigration,
  ),
];
