/**
 * TPM_SetCapability (TPM Main Part 3 §7.3): everything that it may name, under every authority.
 * @module
 */
import { CAP, commands, PROPERTY, raw } from '../../src/guest/index.js';
import { OWNER, type Recorder, scenario, WRONG } from '../recorder/recorder.js';
import { bePresent, readFlags, start } from './common.js';

const { byte, counted, rawCommand, word16 } = raw;
const encode4 = (value: number): Uint8Array =>
  Uint8Array.of(value / 2 ** 24, value / 2 ** 16, value / 2 ** 8, value);

const set = (area: number, sub: number, value: Uint8Array) =>
  rawCommand('SetCapability', 0, area, counted(encode4(sub)), counted(value));

/** Runs the command for every flag and datum of every area. */
function everything(who: string, run: (what: string, command: ReturnType<typeof set>) => void) {
  for (let sub = 0; sub <= 21; sub += 1) {
    for (const on of [1, 0]) run(`${who}: permanent flag ${sub} = ${on}`, set(1, sub, byte(on)));
  }
  for (const sub of [0, 2, 16, 22, 23, 25, 26])
    run(`${who}: permanent datum ${sub}`, set(2, sub, encode4(0x1f)));
  for (const sub of [1, 2, 3])
    for (const on of [0, 1]) run(`${who}: volatile flag ${sub} = ${on}`, set(3, sub, byte(on)));
  for (const sub of [2, 6]) run(`${who}: volatile datum ${sub}`, set(4, sub, encode4(1)));
  for (const sub of [1, 4])
    for (const on of [1, 0]) run(`${who}: any flag ${sub} = ${on}`, set(5, sub, byte(on)));
  for (const area of [0, 6, 7, 8]) run(`${who}: area ${area}`, set(area, 1, byte(1)));
}

function byOwner(tpm: Recorder): void {
  let session = tpm.oiap('a session of the owner');
  everything('the owner', (what, command) => {
    const done = tpm.auth(what, command, OWNER, { session, goOn: true });
    session = done.session ?? tpm.oiap('another session of the owner');
    if (what.includes('flag 1 = 1')) tpm.auth('and back', set(1, 1, byte(0)), OWNER);
  });
}

function fromLocality3(tpm: Recorder): void {
  tpm.locality(3);
  for (const on of [1, 0]) tpm.do(`from locality 3: tpmEstablished = ${on}`, set(1, 18, byte(on)));
  for (const on of [1, 0]) tpm.do(`from locality 3: TOSPresent = ${on}`, set(5, 4, byte(on)));
  tpm.locality(0);
}

function malformed(tpm: Recorder): void {
  tpm.auth('a wrong owner', set(1, 17, byte(1)), WRONG);
  tpm.auth('no value', set(1, 17, new Uint8Array()), OWNER);
  tpm.auth('a value of 2 bytes', set(1, 17, word16(1)), OWNER);
  tpm.auth('a datum of 1 byte', set(2, 23, byte(1)), OWNER);
  tpm.auth(
    'a sub-capability of 2 bytes',
    rawCommand('SetCapability', 0, 1, counted(word16(17)), counted(byte(1))),
    OWNER,
  );
}

function setCapability(tpm: Recorder): void {
  start(tpm);
  everything('unauthorised', (what, command) => tpm.do(what, command));
  byOwner(tpm);
  readFlags(tpm, 'after the owner');
  bePresent(tpm);
  everything('who stands there', (what, command) => tpm.do(what, command));
  fromLocality3(tpm);
  malformed(tpm);
  tpm.do('what is allowed', commands.getCapability(CAP.PROPERTY, PROPERTY.CMK_RESTRICTION));
  readFlags(tpm, 'in the end');
  tpm.do('it is disabled', set(1, 1, byte(1)));
  everything('disabled', (what, command) => tpm.do(what, command));
}

export const SET_CAPABILITIES = [
  scenario(
    'set-capability',
    'owned',
    'TPM_SetCapability of everything, with every authorisation.',
    setCapability,
  ),
];
