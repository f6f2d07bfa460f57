/**
 * The other commands of an owner: counters, audit, ticks, the revocable EK (TPM Main Part 3 §8, §14,
 * §23, §25).
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
} from '../../src/guest/index.js';
import { encode } from '../../src/wire/codec.js';
import { OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, DIGEST, readFlags, restart, start } from './common.js';
import {
  DATA,
  ENC,
  KEY,
  make,
  parms,
  SIG,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  STORAGE,
} from './keys-common.js';

const { byte, rawCommand } = raw;

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
