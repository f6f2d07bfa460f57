/**
 * What leaves the TPM and comes back: contexts, identities, migrating keys (TPM Main Part 3 §11, §15,
 * §21, §27).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  encryptTo,
  HANDLE,
  type Key11,
  key11,
  keyParms,
  NV_PER,
  nvPublic,
  pubKey,
  raw,
} from '../../src/guest/index.js';
import { hmac, sha1 } from '../../src/guest/sessions.js';
import { concat, encode } from '../../src/wire/codec.js';
import { AREA, OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, restart, start } from './common.js';
import {
  digestOf,
  ENC,
  FLAG,
  KEY,
  loadIt,
  MIGRATION,
  make,
  parms,
  publicOf,
  SIG,
  SIGNING,
  SIGNING_DER,
  STORAGE,
  template,
  template12,
  USAGE,
  wrap,
} from './keys-common.js';

const { byte, counted, rawCommand, word16, selection } = raw;
const LABEL = new TextEncoder().encode('sixteen letters.');
const ZEROS = new Uint8Array(20);
const sign = (handle: number) => rawCommand('Sign', 1, handle, counted(DIGEST));
const readEk = commands.ownerReadInternalPub(HANDLE.EK);

const save = (tpm: Recorder, what: string, handle: number, type: number) =>
  tpm.do(what, rawCommand('SaveContext', 1, handle, type, LABEL)) ?? new Uint8Array();
const load = (tpm: Recorder, what: string, blob: Uint8Array, { keep = 1, entity = 0 } = {}) =>
  tpm.do(what, rawCommand('LoadContext', 1, entity, byte(keep), blob));

const IDENTITY = template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1));

/** TPM_MakeIdentity with the well-known label; gives the wrapped key. */
function identity(
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

export const CONTEXTS = [
  scenario('contexts-keys', 'owned', 'Keys that leave and come back.', tpm => {
    start(tpm);
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
      const bent = blob.slice();
      bent[at]! ^= 1;
      load(tpm, `bent in byte ${at}`, bent, { keep: 0 });
    }
    load(tpm, 'a blob cut short', blob.slice(0, -8), { keep: 0 });
    for (const type of [0, 2, 3, 4, 5, 6, 8, 9])
      save(tpm, `as resource type ${type}`, handle, type);
    save(tpm, 'the SRK', HANDLE.SRK, 1);
    const pub = encode(pubKey, publicOf(wrap(tpm, 'another key', SIGNING_DER)!));
    tpm.auth(
      'control with a wrong public key',
      rawCommand('KeyControlOwner', 1, handle, pub, 1, byte(1)),
      OWNER,
    );
    const old = tpm.do('in the old way', rawCommand('SaveKeyContext', 1, handle))!;
    tpm.do('again', rawCommand('SaveKeyContext', 1, handle));
    tpm.do('back in the old way', rawCommand('LoadKeyContext', 0, old));
    tpm.do('again, under another handle', rawCommand('LoadKeyContext', 0, old));
    tpm.do('the new kind in the old way', rawCommand('LoadKeyContext', 0, blob));
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
    restart(tpm);
    load(tpm, 'after a restart', blob);
    load(tpm, 'after a restart: the child', bound);
    load(tpm, 'after a restart: the volatile one', gone);
    tpm.do('after a restart: in the old way', rawCommand('LoadKeyContext', 0, old));
    tpm.auth('it signs', sign(handle), KEY);
  }),

  scenario('contexts-sessions', 'owned', 'Sessions that leave and come back.', tpm => {
    start(tpm);
    const session = tpm.oiap('a session')!;
    const blob = save(tpm, 'its context', session.handle, 2);
    tpm.auth('it is gone', readEk, OWNER, { session, goOn: true });
    load(tpm, 'it comes back', blob);
    load(tpm, 'once', blob);
    tpm.auth('it works', readEk, OWNER, { session, goOn: true });
    tpm.do('the contexts', commands.getCapability(CAP.HANDLE, 5));
    tpm.define('an NV index', nvPublic(0x1100, 4, NV_PER.AUTHREAD | NV_PER.AUTHWRITE));
    restart(tpm);
    const key = make(tpm, 'a key', SIGNING_DER);
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
      if (old !== undefined)
        tpm.do(`${what}: back in the old way`, rawCommand('LoadAuthContext', 0, old));
      if (old !== undefined) tpm.do(`${what}: back once`, rawCommand('LoadAuthContext', 0, old));
    }
    const other = tpm.osap('a session to the key', ENTITY.KEYHANDLE, key, KEY)!;
    const left = save(tpm, 'its context', other.handle, 2);
    const more = tpm.osap('another to the key', ENTITY.KEYHANDLE, key, KEY)!;
    const oldLeft = tpm.do('in the old way', rawCommand('SaveAuthContext', 1, more.handle))!;
    tpm.do('the key goes', commands.flushSpecific(key, 1));
    load(tpm, 'the session has nothing to come back to', left, { entity: key });
    tpm.do('nor in the old way', rawCommand('LoadAuthContext', 0, oldLeft));
    for (const at of [1, 5, 30, 34, 60, left.length - 1]) {
      const bent = left.slice();
      bent[at]! ^= 1;
      load(tpm, `bent in byte ${at}`, bent, { entity: key });
      tpm.do(`bent in byte ${at}, in the old way`, rawCommand('LoadAuthContext', 0, bent));
    }
    tpm.do('a session that is none', rawCommand('SaveAuthContext', 1, 0x1234));
    tpm.do('the contexts', commands.getCapability(CAP.HANDLE, 5));
    tpm.do('how many are left', commands.getCapability(CAP.PROPERTY, 0x112));
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
    restart(tpm);
    load(tpm, 'after a restart', left, { entity: key });
  }),

  scenario('identities', 'owned', 'TPM_MakeIdentity and TPM_ActivateIdentity.', tpm => {
    start(tpm);
    const wrapped = identity(tpm, 'an identity')!;
    identity(tpm, 'a wrong owner', IDENTITY, { owner: WRONG });
    identity(tpm, 'a wrong SRK', IDENTITY, { srk: WRONG });
    identity(tpm, 'without the SRK', IDENTITY, { srk: undefined });
    identity(tpm, 'of 1024 bits', template(USAGE.IDENTITY, parms(ENC.NONE, SIG.SHA1, 1024)));
    identity(tpm, 'a storage key', STORAGE);
    identity(tpm, 'a migratable one', { ...IDENTITY, keyFlags: FLAG.MIGRATABLE });
    const info = concat(word16(6), byte(1), byte(0x1f), selection(16), selection(), ZEROS, ZEROS);
    identity(tpm, 'of TPM 1.2', template12(IDENTITY, info));
    const handle = loadIt(tpm, 'load it', wrapped)!;
    tpm.auth('a quote', rawCommand('Quote', 1, handle, DIGEST, selection(1)), KEY);
    tpm.auth('a signature', sign(handle), KEY);
    const signing = make(tpm, 'a key to certify', SIGNING_DER);
    const moving = make(tpm, 'a key that moves', { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE });
    for (const [what, key] of Object.entries({ signing, moving })) {
      tpm.auth2(
        `certify ${what}`,
        rawCommand('CertifyKey', 2, handle, key, DIGEST),
        { secret: KEY },
        { secret: KEY },
      );
      tpm.auth2(
        `certify ${what} anew`,
        rawCommand('CertifyKey2', 2, key, handle, ZEROS, DIGEST),
        { secret: KEY },
        { secret: KEY },
      );
    }
    tpm.auth(
      'it closes the audit',
      rawCommand('GetAuditDigestSigned', 1, handle, byte(1), DIGEST),
      KEY,
    );
    const ek = tpm.auth('the EK', readEk, OWNER).value!;
    const key = concat(
      new Uint8Array([0, 0, 0, 6, 0, 255]),
      word16(16),
      new Uint8Array(16).fill(7),
    );
    const anyPcr = concat(selection(), byte(0x1f), ZEROS);
    const ekBlob = (type: number, content: Uint8Array) =>
      concat(word16(0x0c), word16(type), counted(content));
    const activation = (digest: Uint8Array, pcrs = anyPcr) =>
      concat(word16(0x2b), key, digest, pcrs);
    const blobs = {
      'of TPM 1.1': concat(key, digestOf(wrapped)),
      'of TPM 1.2': ekBlob(1, activation(digestOf(wrapped))),
      'of TPM 1.1, for another': concat(key, DIGEST),
      'of TPM 1.2, for another': ekBlob(1, activation(DIGEST)),
      'of another type': ekBlob(2, activation(digestOf(wrapped))),
      'for other PCRs': ekBlob(
        1,
        activation(digestOf(wrapped), concat(selection(16), byte(0x1f), DIGEST)),
      ),
      'for locality 3': ekBlob(
        1,
        activation(digestOf(wrapped), concat(selection(), byte(8), ZEROS)),
      ),
      'cut short': concat(key.slice(0, 12)),
      'of another tag': ekBlob(1, concat(word16(0x2a), key, digestOf(wrapped), anyPcr)),
    };
    const activate = (blob: Uint8Array, id = handle) =>
      rawCommand('ActivateIdentity', 1, id, counted(blob));
    for (const [what, blob] of Object.entries(blobs)) {
      tpm.auth2(what, activate(encryptTo(ek, blob)), { secret: KEY }, { secret: OWNER });
    }
    const good = encryptTo(ek, blobs['of TPM 1.1']);
    tpm.auth2('a wrong identity', activate(good), { secret: WRONG }, { secret: OWNER });
    tpm.auth2('a wrong owner', activate(good), { secret: KEY }, { secret: WRONG });
    tpm.auth('without the identity', activate(good), OWNER);
    tpm.auth2(
      'a key that is no identity',
      activate(good, signing),
      { secret: KEY },
      { secret: OWNER },
    );
    tpm.auth2(
      'nonsense',
      activate(new Uint8Array(256).fill(1)),
      { secret: KEY },
      { secret: OWNER },
    );
    tpm.auth2(
      'too long',
      activate(new Uint8Array(257).fill(1)),
      { secret: KEY },
      { secret: OWNER },
    );
    const free = identity(tpm, 'an identity that needs no authorisation', {
      ...IDENTITY,
      authDataUsage: 0,
    })!;
    const freeHandle = loadIt(tpm, 'load it', free)!;
    tpm.auth('without it', activate(encryptTo(ek, concat(key, digestOf(free))), freeHandle), OWNER);
  }),

  scenario('migration', 'owned', 'Keys that migrate.', tpm => {
    start(tpm);
    const to = wrap(tpm, 'the key to migrate to', STORAGE)!;
    const parent = { handle: loadIt(tpm, 'load it', to)!, secret: KEY };
    const moving = wrap(tpm, 'a key that moves', { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE })!;
    const staying = wrap(tpm, 'a key that stays', SIGNING_DER)!;
    const authorize = (scheme: number, pub: Uint8Array) =>
      rawCommand('AuthorizeMigrationKey', 0, word16(scheme), pub);
    const pub = encode(pubKey, publicOf(to));
    const migrate = tpm.auth('leave to migrate', authorize(1, pub), OWNER).value!;
    const rewrap = tpm.auth('leave to rewrap', authorize(2, pub), OWNER).value!;
    tpm.auth('leave by another', authorize(1, pub), WRONG);
    tpm.auth('leave for a signing key', authorize(1, encode(pubKey, publicOf(staying))), OWNER);
    const noOaep = { ...publicOf(to), algorithmParms: parms(ENC.PKCS, SIG.NONE) };
    tpm.auth('leave for a key without OAEP', authorize(1, encode(pubKey, noOaep)), OWNER);
    const odd = {
      ...publicOf(to),
      algorithmParms: parms(ENC.OAEP, SIG.NONE, 2048, Uint8Array.of(3)),
    };
    tpm.auth('leave for exponent 3', authorize(1, encode(pubKey, odd)), OWNER);
    const create = (type: number, leave: Uint8Array, wrapped: Uint8Array) =>
      rawCommand(
        'CreateMigrationBlob',
        1,
        HANDLE.SRK,
        word16(type),
        leave,
        counted(wrapped.slice(-256)),
      );
    const both = (secret: Uint8Array) => [{ secret: SRK as Uint8Array }, { secret }] as const;
    const blob = tpm.auth2('a blob', create(1, migrate, moving), ...both(MIGRATION))!.value;
    const rewrapped = tpm.auth2(
      'a new parent',
      create(2, rewrap, moving),
      ...both(MIGRATION),
    )!.value;
    tpm.auth2('a wrong secret', create(1, migrate, moving), ...both(WRONG));
    tpm.auth2(
      'a wrong secret of the SRK',
      create(1, migrate, moving),
      { secret: WRONG },
      { secret: MIGRATION },
    );
    tpm.auth2('a key that stays', create(1, migrate, staying), ...both(MIGRATION));
    tpm.auth2('type 3', create(3, migrate, moving), ...both(MIGRATION));
    const bent = migrate.slice();
    bent[bent.length - 1]! ^= 1;
    tpm.auth2('an approval that was never given', create(1, bent, moving), ...both(MIGRATION));
    tpm.auth('with one authorisation', create(1, migrate, moving), MIGRATION);
    tpm.auth2('nonsense', create(1, migrate, new Uint8Array(256).fill(1)), ...both(MIGRATION));
    const random = blob.slice(4, 4 + Buffer.from(blob).readUInt32BE());
    const data = blob.slice(8 + random.length);
    const convert = (inData: Uint8Array, with_: Uint8Array, handle = parent.handle) =>
      rawCommand('ConvertMigrationBlob', 1, handle, counted(inData), counted(with_));
    const converted = tpm.auth('it arrives', convert(data, random), KEY).value!;
    tpm.auth(
      'with other random bytes',
      convert(
        data,
        random.map(one => one ^ 1),
      ),
      KEY,
    );
    tpm.auth('with fewer of them', convert(data, random.slice(1)), KEY);
    tpm.auth('with a wrong secret', convert(data, random), WRONG);
    tpm.do('not authorised', convert(data, random));
    tpm.auth('under the SRK', convert(data, random, HANDLE.SRK), SRK);
    tpm.auth('nonsense', convert(new Uint8Array(256).fill(1), random), KEY);
    const arrived = concat(moving.slice(0, -256), converted.slice(4));
    const handle = loadIt(tpm, 'it loads', arrived, parent)!;
    tpm.auth('it signs', sign(handle), KEY);
    loadIt(tpm, 'the other one loads', concat(moving.slice(0, -256), rewrapped.slice(8)), parent);
    tpm.auth('a blob under a signing key', convert(data, random, handle), KEY);
    const maWrapped = wrap(
      tpm,
      'an authority',
      template(USAGE.MIGRATE, parms(ENC.OAEP, SIG.NONE)),
    )!;
    const ma = loadIt(tpm, 'load it', maWrapped)!;
    const pass = (inData: Uint8Array, key = ma) =>
      rawCommand('MigrateKey', 1, key, pub, counted(inData));
    const forMa = encryptTo(publicOf(maWrapped), concat(DIGEST, DIGEST));
    tpm.auth('the authority passes on', pass(forMa), KEY);
    tpm.auth('with a wrong secret', pass(forMa), WRONG);
    tpm.do('not authorised', pass(forMa));
    tpm.auth('nonsense', pass(new Uint8Array(256).fill(1)), KEY);
    tpm.auth('a storage key passes on', pass(forMa, parent.handle), KEY);
  }),

  scenario(
    'migration-certified',
    'owned',
    'Keys that migrate under the rules of an authority.',
    tpm => {
      start(tpm);
      const restrict = (value: number) => rawCommand('CMK_SetRestrictions', 0, value);
      tpm.auth('restrictions', restrict(0x1f), OWNER);
      tpm.auth('the same', restrict(0x1f), OWNER);
      tpm.auth('by another', restrict(0), WRONG);
      const authority = wrap(tpm, 'the key of the authority', SIGNING)!;
      const authorityHandle = loadIt(tpm, 'load it', authority)!;
      const list = concat(Uint8Array.of(0, 0, 0, 1), digestOf(authority));
      const approve = (digest: Uint8Array) => rawCommand('CMK_ApproveMA', 0, digest);
      const approval = tpm.auth('the owner approves', approve(sha1(list)), OWNER).value!;
      tpm.auth('another approves', approve(sha1(list)), WRONG);
      const certified = (flags: number) =>
        template12({ ...SIGNING_DER, keyFlags: flags }, new Uint8Array());
      const create = (what: string, key: Uint8Array, approved = approval, digest = sha1(list)) => {
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
      };
      const both = FLAG.MIGRATABLE + FLAG.MIGRATEAUTHORITY;
      const key = create('a certified key', certified(both))!;
      create('that does not migrate', certified(FLAG.MIGRATEAUTHORITY));
      create('without an authority', certified(FLAG.MIGRATABLE));
      create('without an approval', certified(both), DIGEST);
      create('for another authority', certified(both), approval, DIGEST);
      create('of TPM 1.1', encode(key11, { ...SIGNING_DER, keyFlags: both }));
      create('an identity', template12({ ...IDENTITY, keyFlags: both }, new Uint8Array()));
      const handle = loadIt(tpm, 'load it', key)!;
      tpm.auth('it signs', sign(handle), KEY);
      const cert = make(tpm, 'a key that certifies', SIGNING);
      const certify2 = (msa: Uint8Array) => rawCommand('CertifyKey2', 2, handle, cert, msa, DIGEST);
      tpm.auth2('it is certified', certify2(sha1(list)), { secret: KEY }, { secret: KEY });
      tpm.auth2('for another authority', certify2(DIGEST), { secret: KEY }, { secret: KEY });
      tpm.auth2(
        'in the old way',
        rawCommand('CertifyKey', 2, cert, handle, DIGEST),
        { secret: KEY },
        { secret: KEY },
      );
      const to = wrap(tpm, 'the key to migrate to', STORAGE)!;
      const toHandle = loadIt(tpm, 'load it', to)!;
      const restrictTicket = concat(digestOf(authority), digestOf(to), digestOf(key));
      const signed = tpm.auth(
        'the authority signs',
        rawCommand('Sign', 1, authorityHandle, counted(sha1(restrictTicket))),
        KEY,
      ).value!;
      const ticketOf = (pub: Uint8Array, data: Uint8Array, signature: Uint8Array) =>
        rawCommand('CMK_CreateTicket', 0, pub, data, signature);
      const authorityPub = encode(pubKey, publicOf(authority));
      const ticket = tpm.auth(
        'a ticket',
        ticketOf(authorityPub, sha1(restrictTicket), signed),
        OWNER,
      ).value!;
      tpm.auth('of another digest', ticketOf(authorityPub, DIGEST, signed), OWNER);
      tpm.auth(
        'of no signature',
        ticketOf(authorityPub, DIGEST, counted(new Uint8Array(128).fill(1))),
        OWNER,
      );
      tpm.auth('of a short signature', ticketOf(authorityPub, DIGEST, counted(DIGEST)), OWNER);
      tpm.auth('of a storage key', ticketOf(encode(pubKey, publicOf(to)), DIGEST, signed), OWNER);
      tpm.auth('by another', ticketOf(authorityPub, sha1(restrictTicket), signed), WRONG);
      const leaveFor = (what: string, scheme: number, wrapped: Uint8Array) =>
        tpm.auth(
          what,
          rawCommand('AuthorizeMigrationKey', 0, word16(scheme), encode(pubKey, publicOf(wrapped))),
          OWNER,
        ).value!;
      const leave = leaveFor('leave', 5, to);
      const blobFor = (
        leave_: Uint8Array,
        {
          source = digestOf(key),
          msa = list,
          restrictions = restrictTicket,
          sig = ticket,
          enc = key.slice(-256),
          parent = HANDLE.SRK,
        } = {},
      ) =>
        rawCommand(
          'CMK_CreateBlob',
          1,
          parent,
          word16(1),
          leave_,
          source,
          counted(msa),
          counted(restrictions),
          counted(sig),
          counted(enc),
        );
      const blob = tpm.auth('a blob', blobFor(leave), SRK).value!;
      const wrong = {
        'another source': { source: DIGEST },
        'another list': { msa: concat(Uint8Array.of(0, 0, 0, 1), DIGEST) },
        'an empty list': { msa: Uint8Array.of(0, 0, 0, 0) },
        'a list cut short': { msa: list.slice(0, -1) },
        'other restrictions': { restrictions: DIGEST },
        'another ticket': { sig: DIGEST },
        'no ticket': { sig: new Uint8Array() },
        'another key': { enc: to.slice(-256) },
        nonsense: { enc: new Uint8Array(256).fill(1) },
      };
      for (const [what, one] of Object.entries(wrong)) tpm.auth(what, blobFor(leave, one), SRK);
      tpm.auth('a wrong secret', blobFor(leave), WRONG);
      tpm.auth(
        'with the leave of another scheme',
        blobFor(leaveFor('leave to migrate', 1, to)),
        SRK,
      );
      const elsewhere = wrap(tpm, 'a key elsewhere', STORAGE)!;
      tpm.auth('to elsewhere', blobFor(leaveFor('leave for elsewhere', 5, elsewhere)), SRK);
      const maWrapped = wrap(tpm, 'an authority that migrates', STORAGE)!;
      const maList = concat(Uint8Array.of(0, 0, 0, 1), digestOf(maWrapped));
      const maApproval = tpm.auth('the owner approves of it', approve(sha1(maList)), OWNER).value!;
      const maKey = create('a key of that authority', certified(both), maApproval, sha1(maList))!;
      const none = { restrictions: new Uint8Array(), sig: new Uint8Array() };
      const maLeave = leaveFor('leave for that authority', 4, maWrapped);
      const maParts = { source: digestOf(maKey), msa: maList, enc: maKey.slice(-256) };
      tpm.auth('a blob for that authority', blobFor(maLeave, { ...maParts, ...none }), SRK);
      tpm.auth(
        'with a ticket',
        blobFor(maLeave, { ...maParts, restrictions: new Uint8Array() }),
        SRK,
      );
      tpm.auth('with restrictions', blobFor(maLeave, { ...maParts, sig: new Uint8Array() }), SRK);
      tpm.auth(
        'for another',
        blobFor(leaveFor('leave for another', 4, to), { ...maParts, ...none }),
        SRK,
      );
      const random = blob.slice(4, 4 + Buffer.from(blob).readUInt32BE());
      const data = blob.slice(8 + random.length);
      const convert = ({
        restrictions = restrictTicket,
        sig = ticket,
        from = data,
        msa = list,
        with_ = random,
        handle: at = toHandle,
        head = key,
      } = {}) =>
        rawCommand(
          'CMK_ConvertMigration',
          1,
          at,
          restrictions,
          sig,
          concat(head.slice(0, -256), from),
          counted(msa),
          counted(with_),
        );
      const converted = tpm.auth('it arrives', convert(), KEY).value!;
      const bad = {
        'other restrictions': { restrictions: concat(DIGEST, DIGEST, DIGEST) },
        'another ticket': { sig: DIGEST },
        'another list': { msa: concat(Uint8Array.of(0, 0, 0, 1), DIGEST) },
        'other random bytes': { with_: random.map(one => one ^ 1) },
        'fewer of them': { with_: random.slice(1) },
        'another key': { head: maKey },
      };
      for (const [what, one] of Object.entries(bad)) tpm.auth(what, convert(one), KEY);
      tpm.auth('a wrong secret', convert(), WRONG);
      tpm.auth('under the SRK', convert({ handle: HANDLE.SRK }), SRK);
      const arrived = concat(key.slice(0, -256), converted.slice(4));
      const there = loadIt(tpm, 'it loads', arrived, { handle: toHandle, secret: KEY });
      tpm.auth('it signs', sign(there ?? 0), KEY);
      tpm.auth2(
        'it is certified there',
        rawCommand('CertifyKey2', 2, there ?? 0, cert, sha1(list), DIGEST),
        { secret: KEY },
        { secret: KEY },
      );
    },
  ),

  scenario(
    'change-auth-asym',
    'owned',
    'TPM_ChangeAuthAsymStart and TPM_ChangeAuthAsymFinish.',
    tpm => {
      start(tpm);
      const id = loadIt(tpm, 'load the identity', identity(tpm, 'an identity')!)!;
      const wrapped = wrap(tpm, 'a key', SIGNING_DER)!;
      const storage = wrap(tpm, 'a storage key', STORAGE)!;
      const parent = { handle: loadIt(tpm, 'load it', storage)!, secret: KEY };
      const child = wrap(tpm, 'a key under it', SIGNING_DER, parent)!;
      const begin = (handle: number, bits = 512, enc = ENC.OAEP) =>
        rawCommand(
          'ChangeAuthAsymStart',
          1,
          handle,
          DIGEST,
          encode(keyParms, parms(enc, SIG.NONE, bits)),
        );
      tpm.auth('a signing key begins', begin(loadIt(tpm, 'load a key', wrapped)!), KEY);
      tpm.auth('a wrong secret', begin(id), WRONG);
      tpm.do('not authorised', begin(id));
      tpm.auth('256 bits', begin(id, 256), KEY);
      tpm.auth('with PKCS', begin(id, 512, ENC.PKCS), KEY);
      const started = tpm.auth('it begins', begin(id, 1024), KEY).value!;
      // The handle and the key stand at the end: a TPM_KEY of 1024 bits without a secret part.
      const keyBytes = 4 + 2 + 4 + 1 + 12 + 12 + 4 + 4 + 128 + 4;
      const eph = Buffer.from(started).readUInt32BE(started.length - keyBytes - 4);
      const ephKey = publicOf(started.slice(-keyBytes));
      save(tpm, 'its context', eph, 1);
      const validate = encryptTo(ephKey, concat(MIGRATION, DIGEST));
      const finish = ({
        at = parent.handle,
        by = eph,
        type = 5,
        link = hmac(KEY, MIGRATION),
        auth = validate,
        enc = child.slice(-256),
      } = {}) =>
        rawCommand(
          'ChangeAuthAsymFinish',
          2,
          at,
          by,
          word16(type),
          link,
          counted(auth),
          counted(enc),
        );
      const bad = {
        'another type': { type: 2 },
        'another link': { link: DIGEST },
        'nonsense for the secret': { auth: new Uint8Array(128).fill(1) },
        'nonsense for the key': { enc: new Uint8Array(256).fill(1) },
        'a key that is not of the moment': { by: id },
        'no key': { by: 0x1234 },
      };
      for (const [what, one] of Object.entries(bad)) tpm.auth(what, finish(one), KEY);
      tpm.auth('a wrong secret', finish(), WRONG);
      tpm.do('not authorised', finish());
      const done = tpm.auth('it is done', finish(), KEY).value!;
      tpm.auth('again', finish(), KEY);
      const anew = concat(child.slice(0, -256), done.slice(4, 260));
      const handle = loadIt(tpm, 'load it', anew, parent)!;
      tpm.auth('the old secret', sign(handle), KEY);
      tpm.auth('the new secret', sign(handle), MIGRATION);
      const second = tpm.auth('it begins again', begin(id, 1024), KEY).value!;
      const eph2 = Buffer.from(second).readUInt32BE(second.length - keyBytes - 4);
      const validate2 = encryptTo(publicOf(second.slice(-keyBytes)), concat(MIGRATION, DIGEST));
      save(tpm, 'its context', eph2, 1);
      const underSrk = { at: HANDLE.SRK, by: eph2, auth: validate2, enc: wrapped.slice(-256) };
      tpm.auth('under the SRK by its secret', finish(underSrk), SRK);
      tpm.auth('under the SRK by the owner', finish(underSrk), OWNER);
    },
  ),
];
