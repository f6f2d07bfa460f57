/**
 * The other commands of an owner, an operator and physical presence: opt-in, secrets, counters,
 * audit, DIR, SHA-1, the revocable EK (TPM Main Part 3 §5, §6, §8, §13, §14, §17, §24, §25, §27).
 * @module
 */
import {
  CAP,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  keyParms,
  PROPERTY,
  RSA_2048,
  raw,
  secretOf,
} from '../../src/guest/index.js';
import { encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, DIGEST, readFlags, restart, start } from './common.js';
import {
  DATA,
  ENC,
  KEY,
  loadIt,
  make,
  parms,
  SIG,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
  wrap,
} from './keys-common.js';

const { byte, counted, rawCommand, word16 } = raw;
const OPERATOR = secretOf('transcript operator');
const NEW = secretOf('a new secret');
const ADCP = word16(4);

const counter = (tpm: Recorder, what: string, label: string, secret = KEY) => {
  const session = tpm.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, OWNER);
  if (session === undefined) return;
  const command = rawCommand(
    'CreateCounter',
    0,
    encryptAuth(session, secret),
    new TextEncoder().encode(label),
  );
  tpm.auth(what, command, OWNER, { session });
};

export const OWNERS = [
  scenario('opt-in', 'ek', 'Switches of an owner, an operator, and who stands there.', tpm => {
    start(tpm);
    const install = (on: number) => rawCommand('SetOwnerInstall', 0, byte(on));
    const deactivate = rawCommand('SetTempDeactivated', 0);
    tpm.do('no presence: TPM_SetOwnerInstall', install(0));
    tpm.do('no presence: TPM_SetTempDeactivated', deactivate);
    tpm.do('no presence: TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
    tpm.auth('no operator: TPM_SetTempDeactivated', deactivate, OPERATOR);
    tpm.auth('no owner: TPM_OwnerSetDisable', rawCommand('OwnerSetDisable', 0, byte(1)), OWNER);
    bePresent(tpm);
    for (const on of [0, 0, 2, 1]) tpm.do(`TPM_SetOwnerInstall(${on})`, install(on));
    tpm.do('TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
    tpm.do('again', rawCommand('SetOperatorAuth', 0, OPERATOR));
    readFlags(tpm, 'with an operator');
    tpm.as('take ownership', client => client.takeOwnership(OWNER, SRK));
    tpm.do('TPM_SetOwnerInstall with an owner', install(0));
    for (const on of [1, 0]) {
      tpm.auth(`TPM_OwnerSetDisable(${on})`, rawCommand('OwnerSetDisable', 0, byte(on)), OWNER);
      readFlags(tpm, `after TPM_OwnerSetDisable(${on})`);
    }
    tpm.auth('TPM_OwnerSetDisable by another', rawCommand('OwnerSetDisable', 0, byte(1)), WRONG);
    tpm.auth('TPM_OwnerSetDisable(2)', rawCommand('OwnerSetDisable', 0, byte(2)), OWNER);
    tpm.auth('a wrong operator', deactivate, WRONG);
    const session = tpm.osap('an OSAP session', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    tpm.auth('an operator in that', deactivate, OPERATOR, { session });
    tpm.auth('the operator', deactivate, OPERATOR);
    tpm.do('deactivated: TPM_SetTempDeactivated', deactivate);
    tpm.do('deactivated: TPM_SetOperatorAuth', rawCommand('SetOperatorAuth', 0, OPERATOR));
    tpm.do('deactivated: TPM_DisableForceClear', rawCommand('DisableForceClear', 0));
    readFlags(tpm, 'deactivated');
    restart(tpm);
    bePresent(tpm);
    tpm.do('who stands there', deactivate);
    restart(tpm);
    tpm.do('TPM_DisableForceClear', rawCommand('DisableForceClear', 0));
    tpm.do('TPM_DisableForceClear with a byte more', rawCommand('DisableForceClear', 0, byte(0)));
    tpm.do('TPM_ForceClear', commands.forceClear());
    tpm.auth('TPM_DisableOwnerClear by another', rawCommand('DisableOwnerClear', 0), WRONG);
    tpm.auth('TPM_DisableOwnerClear', rawCommand('DisableOwnerClear', 0), OWNER);
    tpm.auth('TPM_DisableOwnerClear again', rawCommand('DisableOwnerClear', 0), OWNER);
    tpm.auth('TPM_OwnerClear', commands.ownerClear(), OWNER);
    restart(tpm);
    bePresent(tpm);
    tpm.do('TPM_ForceClear after a restart', commands.forceClear());
    readFlags(tpm, 'cleared');
    tpm.do('TPM_Init', rawCommand('Init', 0));
    tpm.do('TPM_Init with a byte more', rawCommand('Init', 0, byte(0)));
  }),

  scenario(
    'set-capability',
    'owned',
    'TPM_SetCapability of everything, with every authorisation.',
    tpm => {
      start(tpm);
      const set = (area: number, sub: number, value: Uint8Array) =>
        rawCommand('SetCapability', 0, area, counted(encode4(sub)), counted(value));
      const everything = (
        who: string,
        run: (what: string, command: ReturnType<typeof set>) => void,
      ) => {
        for (let sub = 0; sub <= 21; sub += 1) {
          for (const on of [1, 0])
            run(`${who}: permanent flag ${sub} = ${on}`, set(1, sub, byte(on)));
        }
        for (const sub of [0, 2, 16, 22, 23, 25, 26])
          run(`${who}: permanent datum ${sub}`, set(2, sub, encode4(0x1f)));
        for (const sub of [1, 2, 3])
          for (const on of [0, 1])
            run(`${who}: volatile flag ${sub} = ${on}`, set(3, sub, byte(on)));
        for (const sub of [2, 6]) run(`${who}: volatile datum ${sub}`, set(4, sub, encode4(1)));
        for (const sub of [1, 4])
          for (const on of [1, 0]) run(`${who}: any flag ${sub} = ${on}`, set(5, sub, byte(on)));
        for (const area of [0, 6, 7, 8]) run(`${who}: area ${area}`, set(area, 1, byte(1)));
      };
      everything('unauthorised', (what, command) => tpm.do(what, command));
      let session = tpm.oiap('a session of the owner');
      everything('the owner', (what, command) => {
        const done = tpm.auth(what, command, OWNER, { session, goOn: true });
        session = done.session ?? tpm.oiap('another session of the owner');
        if (what.includes('flag 1 = 1')) tpm.auth('and back', set(1, 1, byte(0)), OWNER);
      });
      readFlags(tpm, 'after the owner');
      bePresent(tpm);
      everything('who stands there', (what, command) => tpm.do(what, command));
      tpm.locality(3);
      for (const on of [1, 0])
        tpm.do(`from locality 3: tpmEstablished = ${on}`, set(1, 18, byte(on)));
      for (const on of [1, 0]) tpm.do(`from locality 3: TOSPresent = ${on}`, set(5, 4, byte(on)));
      tpm.locality(0);
      tpm.auth('a wrong owner', set(1, 17, byte(1)), WRONG);
      tpm.auth('no value', set(1, 17, new Uint8Array()), OWNER);
      tpm.auth('a value of 2 bytes', set(1, 17, word16(1)), OWNER);
      tpm.auth('a datum of 1 byte', set(2, 23, byte(1)), OWNER);
      tpm.auth(
        'a sub-capability of 2 bytes',
        rawCommand('SetCapability', 0, 1, counted(word16(17)), counted(byte(1))),
        OWNER,
      );
      tpm.do('what is allowed', commands.getCapability(CAP.PROPERTY, PROPERTY.CMK_RESTRICTION));
      readFlags(tpm, 'in the end');
      tpm.do('it is disabled', set(1, 1, byte(1)));
      everything('disabled', (what, command) => tpm.do(what, command));
    },
  ),

  scenario('change-auth', 'owned', 'TPM_ChangeAuth and TPM_ChangeAuthOwner.', tpm => {
    start(tpm);
    const wrapped = wrap(tpm, 'make a key', SIGNING_DER)!;
    const encOf = (blob: Uint8Array) => blob.slice(-256);
    const change = (
      what: string,
      type: number,
      blob: Uint8Array,
      old: Uint8Array,
      protocol = ADCP,
      parent: { handle: number; secret: Uint8Array } = { handle: HANDLE.SRK, secret: SRK },
    ) => {
      const session = tpm.osap(
        `a session: ${what}`,
        ENTITY.KEYHANDLE,
        parent.handle,
        parent.secret,
      );
      if (session === undefined) return undefined;
      const command = rawCommand(
        'ChangeAuth',
        1,
        parent.handle,
        protocol,
        encryptAuth(session, NEW),
        word16(type),
        counted(blob),
      );
      return tpm.auth2(
        what,
        command,
        { secret: parent.secret, session, goOn: true },
        { secret: old, goOn: true },
      );
    };
    const changed = change('of the key', ENTITY.KEY, encOf(wrapped), KEY)!;
    const anew = new Uint8Array([...wrapped.slice(0, -256), ...changed.value.slice(4)]);
    const handle = loadIt(tpm, 'load it', anew)!;
    const sign = rawCommand('Sign', 1, handle, counted(DIGEST));
    tpm.auth('the old secret', sign, KEY);
    tpm.auth('the new secret', sign, NEW);
    change('a wrong secret', ENTITY.KEY, encOf(wrapped), WRONG);
    change('another type', ENTITY.OWNER, encOf(wrapped), KEY);
    change('as data', ENTITY.DATA, encOf(wrapped), KEY);
    change('another protocol', ENTITY.KEY, encOf(wrapped), KEY, word16(3));
    change('nonsense', ENTITY.KEY, new Uint8Array(256).fill(1), KEY);
    change('too long', ENTITY.KEY, new Uint8Array(257).fill(1), KEY);
    change('under a signing key', ENTITY.KEY, encOf(wrapped), KEY, ADCP, { handle, secret: NEW });
    const toSrk = tpm.osap('a session to seal', ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
    const sealed = tpm.auth(
      'seal',
      rawCommand(
        'Seal',
        1,
        HANDLE.SRK,
        encryptAuth(toSrk!, DATA),
        counted(new Uint8Array()),
        counted(DIGEST),
      ),
      SRK,
      { session: toSrk },
    ).value!;
    const resealed = change('of the data', ENTITY.DATA, encOf(sealed), DATA)!;
    change('of the data, a wrong secret', ENTITY.DATA, encOf(sealed), WRONG);
    change('of the data as a key', ENTITY.KEY, encOf(sealed), DATA);
    const again = new Uint8Array([...sealed.slice(0, -256), ...resealed.value.slice(4)]);
    tpm.auth2(
      'the old secret of the data',
      raw.unseal(HANDLE.SRK, again),
      { secret: SRK },
      { secret: DATA },
    );
    tpm.auth2(
      'the new secret of the data',
      raw.unseal(HANDLE.SRK, again),
      { secret: SRK },
      { secret: NEW },
    );
    tpm.auth(
      'with one authorisation',
      rawCommand('ChangeAuth', 1, HANDLE.SRK, ADCP, NEW, word16(5), counted(encOf(wrapped))),
      SRK,
    );
    const owner = (
      what: string,
      type: number,
      old: Uint8Array,
      secret: Uint8Array,
      protocol = ADCP,
    ) => {
      const session = tpm.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, old);
      if (session === undefined) return;
      const other = tpm.osap('another session of the owner', ENTITY.OWNER, HANDLE.OWNER, old);
      tpm.auth(
        what,
        rawCommand('ChangeAuthOwner', 0, protocol, encryptAuth(session, secret), word16(type)),
        old,
        { session, goOn: true },
      );
      tpm.auth('the other session', commands.ownerReadInternalPub(HANDLE.EK), old, {
        session: other,
        goOn: true,
      });
    };
    owner('the SRK', ENTITY.SRK, OWNER, NEW);
    tpm.auth('the old secret of the SRK', raw.loadKey2(HANDLE.SRK, wrapped), SRK);
    tpm.auth('the new secret of the SRK', raw.loadKey2(HANDLE.SRK, wrapped), NEW);
    owner('another type', ENTITY.KEY, OWNER, NEW);
    owner('another protocol', ENTITY.OWNER, OWNER, NEW, word16(5));
    owner('with a wrong secret', ENTITY.OWNER, WRONG, NEW);
    owner('the owner', ENTITY.OWNER, OWNER, NEW);
    tpm.auth('the old secret', commands.ownerReadInternalPub(HANDLE.EK), OWNER);
    tpm.auth('the new secret', commands.ownerReadInternalPub(HANDLE.EK), NEW);
    tpm.auth('in an OIAP session', rawCommand('ChangeAuthOwner', 0, ADCP, OWNER, word16(2)), NEW);
  }),

  scenario('counters', 'owned', 'Monotonic counters.', tpm => {
    start(tpm);
    const read = (id: number) => rawCommand('ReadCounter', 0, id);
    const increment = (id: number) => rawCommand('IncrementCounter', 0, id);
    const release = (id: number) => rawCommand('ReleaseCounter', 0, id);
    tpm.do('there is none', read(0));
    counter(tpm, 'the first', 'one.');
    tpm.do('it says', read(0));
    for (let count = 0; count < 3; count += 1) tpm.auth('it counts', increment(0), KEY);
    tpm.auth('a wrong secret', increment(0), WRONG);
    counter(tpm, 'the second starts after it', 'two.', DATA);
    tpm.auth('one counter a cycle', increment(1), DATA);
    tpm.do('which is it', commands.getCapability(CAP.PROPERTY, PROPERTY.ACTIVE_COUNTER));
    for (let count = 3; count <= 9; count += 1) counter(tpm, `number ${count}`, 'more');
    tpm.do('the handles', commands.getCapability(CAP.HANDLE, 6));
    tpm.do('how many are left', commands.getCapability(CAP.PROPERTY, PROPERTY.COUNTERS));
    let session = tpm.osap('a session to the first', ENTITY.COUNTER, 0, KEY);
    session = tpm.auth('it counts in it', increment(0), KEY, { session, goOn: true }).session;
    const other = tpm.osap('another session to the first', ENTITY.COUNTER, 0, KEY);
    tpm.auth('it goes in it', release(0), KEY, { session, goOn: true });
    tpm.auth('the other session', increment(0), KEY, { session: other });
    tpm.do('it is gone', read(0));
    tpm.do('which counts now', commands.getCapability(CAP.PROPERTY, PROPERTY.ACTIVE_COUNTER));
    tpm.auth('no other counts', increment(1), DATA);
    tpm.osap('a session to what is gone', ENTITY.COUNTER, 0, KEY);
    tpm.osap('a session to what never was', ENTITY.COUNTER, 8, KEY);
    tpm.auth('a wrong secret', release(1), KEY);
    tpm.auth('the owner lets the second go', rawCommand('ReleaseCounterOwner', 0, 1), OWNER);
    tpm.auth('again', rawCommand('ReleaseCounterOwner', 0, 1), OWNER);
    tpm.auth('a wrong secret releases the third', rawCommand('ReleaseCounterOwner', 0, 2), WRONG);
    counter(tpm, 'a new first', 'new.');
    tpm.do('it says', read(0));
    restart(tpm);
    tpm.auth('the third counts now', increment(2), KEY);
    tpm.auth('and no other', increment(0), KEY);
    tpm.auth('a counter that is none', increment(8), KEY);
    tpm.auth('in an OIAP session', rawCommand('CreateCounter', 0, KEY, encode4(1)), OWNER);
    tpm.do('number 9', read(9));
    tpm.auth('the fourth goes', release(3), KEY);
    tpm.auth('the owner goes', commands.ownerClear(), OWNER);
  }),

  scenario('auditing', 'owned', 'The audit digest, and what is audited.', tpm => {
    start(tpm);
    const digest = (from: number) => rawCommand('GetAuditDigest', 0, from);
    const audit = (ordinal: number, on: number) =>
      rawCommand('SetOrdinalAuditStatus', 0, ordinal, byte(on));
    tpm.do('at the start', digest(0));
    tpm.do('with a byte more', rawCommand('GetAuditDigest', 0, 0, byte(0)));
    tpm.auth('TPM_Extend', audit(0x14, 1), OWNER);
    tpm.do('TPM_Extend', commands.extend(3, DIGEST));
    tpm.do('the digest', digest(0));
    tpm.do('from 0x20 on', digest(0x20));
    tpm.do('from 0x4000000a on', digest(0x4000_000a));
    for (const ordinal of [
      0x14, 0x85, 0x86, 0x8c, 0x52, 0x00, 0xfd, 0xff, 0x100, 0x4000_000a, 0x4000_000b, 0x4000_000c,
    ]) {
      for (const on of [1, 1, 0, 0])
        tpm.auth(`0x${ordinal.toString(16)}: ${on}`, audit(ordinal, on), OWNER);
    }
    tpm.auth('a flag of 2', audit(0x14, 2), OWNER);
    tpm.auth('another', audit(0x14, 1), WRONG);
    tpm.auth('PhysicalPresence', audit(0x4000_000a, 1), OWNER);
    bePresent(tpm);
    tpm.do('the digest', digest(0));
    const signed = (handle: number, close: number) =>
      rawCommand('GetAuditDigestSigned', 1, handle, byte(close), DIGEST);
    for (const [what, key] of Object.entries({
      SIGNING,
      SIGNING_DER,
      SIGNING_INFO,
      STORAGE,
      free: { ...SIGNING, authDataUsage: 0 },
    })) {
      const handle = make(tpm, what, key);
      tpm.auth(`${what} signs it`, signed(handle, 0), KEY);
      tpm.auth(`${what} closes it`, signed(handle, 1), KEY);
      tpm.do(`${what} signs it without authorisation`, signed(handle, 0));
    }
    restart(tpm);
    tpm.do('after a restart', digest(0));
    tpm.auth('nothing audited: sealing', audit(0x17, 1), OWNER);
  }),

  scenario('registers', 'owned', 'DIR, SHA-1, ticks, TPM_Reset, the lockout.', tpm => {
    start(tpm);
    const write = (index: number) => rawCommand('DirWriteAuth', 0, index, DIGEST);
    tpm.do('DIR 0', raw.dirRead(0));
    tpm.auth('write it', write(0), OWNER);
    tpm.auth('write DIR 1', write(1), OWNER);
    tpm.auth('another writes it', write(0), WRONG);
    tpm.do('DIR 0 now', raw.dirRead(0));
    tpm.do('DIR 1', raw.dirRead(1));
    const update = (data: Uint8Array) => rawCommand('SHA1Update', 0, counted(data));
    const complete = (data: Uint8Array) => rawCommand('SHA1Complete', 0, counted(data));
    const extend = (pcr: number, data: Uint8Array) =>
      rawCommand('SHA1CompleteExtend', 0, pcr, counted(data));
    const begin = rawCommand('SHA1Start', 0);
    tpm.do('no thread: update', update(new Uint8Array(64)));
    tpm.do('no thread: complete', complete(DIGEST));
    tpm.do('no thread: extend', extend(16, DIGEST));
    tpm.do('start with a byte more', rawCommand('SHA1Start', 0, byte(0)));
    tpm.do('start', begin);
    tpm.do('one block', update(new Uint8Array(64).fill(1)));
    tpm.do('many blocks', update(new Uint8Array(4032).fill(2)));
    tpm.do('the end', complete(DIGEST));
    tpm.do('nothing after it', complete(DIGEST));
    for (const [what, command] of Object.entries({
      'a broken block': update(new Uint8Array(63)),
      'too many blocks': update(new Uint8Array(4080)),
      'another command': commands.pcrRead(0),
      'too long an end': complete(new Uint8Array(65)),
      'an end of nothing': complete(new Uint8Array()),
      'an end of a block': complete(new Uint8Array(64)),
      'into PCR 16': extend(16, DIGEST),
      'into PCR 17': extend(17, DIGEST),
      'into PCR 24': extend(24, DIGEST),
      'start again': begin,
    })) {
      tpm.do(`start: ${what}`, begin);
      tpm.do(what, command);
      tpm.do(`after ${what}`, complete(DIGEST));
    }
    tpm.do('PCR 16', commands.pcrRead(16));
    const session = tpm.oiap('a session');
    tpm.osap('another', ENTITY.OWNER, HANDLE.OWNER, OWNER);
    tpm.do('TPM_Reset', rawCommand('Reset', 0));
    tpm.do('TPM_Reset with a byte more', rawCommand('Reset', 0, byte(0)));
    tpm.auth('the session', raw.rawCommand('OwnerReadPubek', 0), OWNER, { session });
    tpm.do('the sessions', commands.getCapability(CAP.HANDLE, 2));
    const unlock = rawCommand('ResetLockValue', 0);
    tpm.auth('nothing to unlock', unlock, OWNER);
    for (let count = 0; count < 9; count += 1) tpm.auth('a wrong secret', write(0), WRONG);
    tpm.auth('locked', write(0), OWNER);
    tpm.auth('the owner unlocks', unlock, OWNER);
    tpm.auth('unlocked', write(0), OWNER);
    for (let count = 0; count < 9; count += 1) tpm.auth('a wrong secret again', write(0), WRONG);
    tpm.auth('a wrong owner unlocks', unlock, WRONG);
    tpm.auth('the owner unlocks in vain', unlock, OWNER);
  }),

  scenario('endorsement-revocable', 'nothing', 'An EK that can be taken back.', tpm => {
    start(tpm);
    const create = (generate: number, reset = DIGEST, info = RSA_2048) =>
      rawCommand('CreateRevocableEK', 0, DIGEST, encode(keyParms, info), byte(generate), reset);
    tpm.do('none to revoke', rawCommand('RevokeTrust', 0, DIGEST));
    tpm.do('1024 bits', create(0, DIGEST, parms(ENC.OAEP, SIG.NONE, 1024)));
    tpm.do('a flag of 2', create(2));
    tpm.do('a revocable EK', create(0));
    tpm.do('another', create(0));
    tpm.do('one for good', commands.createEndorsementKeyPair(tpm.nonce()));
    tpm.do('with another secret', rawCommand('RevokeTrust', 0, new Uint8Array(20)));
    tpm.do('without presence', rawCommand('RevokeTrust', 0, DIGEST));
    readFlags(tpm, 'with an EK');
    bePresent(tpm);
    tpm.do('what is revoked', rawCommand('RevokeTrust', 0, DIGEST));
    readFlags(tpm, 'revoked');
    tpm.do('again', rawCommand('RevokeTrust', 0, DIGEST));
    tpm.do('TPM_PhysicalEnable', commands.physicalEnable());
    tpm.do('TPM_PhysicalSetDeactivated', commands.physicalSetDeactivated(false));
    restart(tpm);
    tpm.do('no EK', commands.readPubek(tpm.nonce()));
    tpm.do('with a secret of its own', create(1));
    tpm.do('it is there', commands.readPubek(tpm.nonce()));
    tpm.do('with the secret of the first', rawCommand('RevokeTrust', 0, DIGEST));
  }),
];

function encode4(value: number): Uint8Array {
  return Uint8Array.of(value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value);
}
