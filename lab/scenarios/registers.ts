/**
 * DIR, SHA-1, TPM_Reset and the lockout (TPM Main Part 3 §8, §13, §27; Part 1 §19).
 * @module
 */
import { CAP, commands, ENTITY, HANDLE, raw } from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';

const { byte, counted, rawCommand } = raw;
const write = (index: number) => rawCommand('DirWriteAuth', 0, index, DIGEST);
const update = (data: Uint8Array) => rawCommand('SHA1Update', 0, counted(data));
const complete = (data: Uint8Array) => rawCommand('SHA1Complete', 0, counted(data));
const extend = (pcr: number, data: Uint8Array) =>
  rawCommand('SHA1CompleteExtend', 0, pcr, counted(data));
const begin = rawCommand('SHA1Start', 0);

function dirs(tpm: Recorder): void {
  tpm.do('DIR 0', raw.dirRead(0));
  tpm.auth('write it', write(0), OWNER);
  tpm.auth('write DIR 1', write(1), OWNER);
  tpm.auth('another writes it', write(0), WRONG);
  tpm.do('DIR 0 now', raw.dirRead(0));
  tpm.do('DIR 1', raw.dirRead(1));
}

function sha1Threads(tpm: Recorder): void {
  tpm.do('no thread: update', update(new Uint8Array(64)));
  tpm.do('no thread: complete', complete(DIGEST));
  tpm.do('no thread: extend', extend(16, DIGEST));
  tpm.do('start with a byte more', rawCommand('SHA1Start', 0, byte(0)));
  tpm.do('start', begin);
  tpm.do('one block', update(new Uint8Array(64).fill(1)));
  tpm.do('many blocks', update(new Uint8Array(4032).fill(2)));
  tpm.do('the end', complete(DIGEST));
  tpm.do('nothing after it', complete(DIGEST));
}

/** What ends a thread of SHA-1, and what does not. */
function duringSha1(tpm: Recorder): void {
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
}

function reset(tpm: Recorder): void {
  const session = tpm.oiap('a session');
  tpm.osap('another', ENTITY.OWNER, HANDLE.OWNER, OWNER);
  tpm.do('TPM_Reset', rawCommand('Reset', 0));
  tpm.do('TPM_Reset with a byte more', rawCommand('Reset', 0, byte(0)));
  tpm.auth('the session', raw.rawCommand('OwnerReadPubek', 0), OWNER, { session });
  tpm.do('the sessions', commands.getCapability(CAP.HANDLE, 2));
}

function lockout(tpm: Recorder): void {
  const unlock = rawCommand('ResetLockValue', 0);
  tpm.auth('nothing to unlock', unlock, OWNER);
  for (let count = 0; count < 9; count += 1) tpm.auth('a wrong secret', write(0), WRONG);
  tpm.auth('locked', write(0), OWNER);
  tpm.auth('the owner unlocks', unlock, OWNER);
  tpm.auth('unlocked', write(0), OWNER);
  for (let count = 0; count < 9; count += 1) tpm.auth('a wrong secret again', write(0), WRONG);
  tpm.auth('a wrong owner unlocks', unlock, WRONG);
  tpm.auth('the owner unlocks in vain', unlock, OWNER);
}

function registers(tpm: Recorder): void {
  start(tpm);
  dirs(tpm);
  sha1Threads(tpm);
  duringSha1(tpm);
  reset(tpm);
  lockout(tpm);
}

export const REGISTERS = [
  scenario('registers', 'owned', 'DIR, SHA-1, ticks, TPM_Reset, the lockout.', registers),
];
