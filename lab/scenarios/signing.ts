/**
 * Keys that sign (TPM Main Part 3 §13.5, §16.3, §16.5).
 * @module
 */
import { commands, ENTITY, HANDLE, raw } from '../../src/guest/index.js';
import { type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import {
  BINDING,
  drop,
  info11,
  KEY,
  LEGACY,
  make,
  SIGNING,
  SIGNING_DER,
  SIGNING_INFO,
  sign,
  use,
} from './keys-common.js';

const { byte, rawCommand, selection, word16 } = raw;
const quote = (handle: number, ...pcrs: number[]) =>
  rawCommand('Quote', 1, handle, DIGEST, selection(...pcrs));
const quote2 = (handle: number, version: number, ...pcrs: number[]) =>
  rawCommand('Quote2', 1, handle, DIGEST, selection(...pcrs), byte(version));

/** Keys of every scheme and usage. */
const SIGNERS = {
  SHA1: SIGNING,
  DER: SIGNING_DER,
  INFO: SIGNING_INFO,
  legacy: LEGACY,
  binding: BINDING,
  'no authorisation': { ...SIGNING, authDataUsage: 0 },
  'no authorisation, INFO': { ...SIGNING_INFO, authDataUsage: 0 },
  'for other PCRs': { ...SIGNING, pcrInfo: info11(16, DIGEST) },
};

function signAndQuote(tpm: Recorder, what: string, handle: number): void {
  use(tpm, `${what}: 20 bytes`, sign(handle, DIGEST));
  use(tpm, `${what}: a wrong secret`, sign(handle, DIGEST), WRONG);
  tpm.do(`${what}: not authorised`, sign(handle, DIGEST));
  use(tpm, `${what}: nothing`, sign(handle, new Uint8Array()));
  use(tpm, `${what}: 53 bytes`, sign(handle, new Uint8Array(53).fill(0x53)));
  use(tpm, `${what}: 54 bytes`, sign(handle, new Uint8Array(54).fill(0x54)));
  use(tpm, `${what}: 200 bytes`, sign(handle, new Uint8Array(200)));
  use(tpm, `${what}: quote`, quote(handle, 1, 2, 16));
  tpm.do(`${what}: quote, not authorised`, quote(handle, 1));
  use(tpm, `${what}: quote of nothing`, quote(handle));
  use(tpm, `${what}: quote 2`, quote2(handle, 0, 1, 16));
  use(tpm, `${what}: quote 2 with the version`, quote2(handle, 1, 1));
  tpm.do(`${what}: quote 2, not authorised`, quote2(handle, 0, 1));
}

function quoteSelections(tpm: Recorder, handle: number): void {
  use(
    tpm,
    'quote of too many PCRs',
    rawCommand('Quote', 1, handle, DIGEST, word16(4), new Uint8Array(4)),
  );
  use(tpm, 'quote of an empty selection', rawCommand('Quote', 1, handle, DIGEST, word16(0)));
  use(tpm, 'quote 2 with a flag of 2', quote2(handle, 2, 1));
  tpm.locality(2);
  use(tpm, 'quote 2 from locality 2', quote2(handle, 0, 1));
  tpm.locality(0);
}

function signInSessions(tpm: Recorder, handle: number): void {
  let session = tpm.osap('a session to the key', ENTITY.KEYHANDLE, handle, KEY);
  session = tpm.auth('a signature in it', sign(handle, DIGEST), KEY, {
    session,
    goOn: true,
  }).session;
  tpm.auth('and another', sign(handle, DIGEST), KEY, { session });
  session = tpm.osap('a session to the SRK', ENTITY.SRK, HANDLE.SRK, SRK);
  tpm.auth('a signature in that', sign(handle, DIGEST), KEY, { session });
}

function signing(tpm: Recorder): void {
  start(tpm);
  tpm.do('PCR 1 holds something', commands.extend(1, DIGEST));
  for (const [what, key] of Object.entries(SIGNERS)) {
    const handle = make(tpm, what, key);
    signAndQuote(tpm, what, handle);
    drop(tpm, what, handle);
  }
  use(tpm, 'the SRK signs', sign(HANDLE.SRK, DIGEST), SRK);
  use(tpm, 'the SRK quotes', quote(HANDLE.SRK, 1), SRK);
  const handle = make(tpm, 'a key', SIGNING);
  quoteSelections(tpm, handle);
  signInSessions(tpm, handle);
}

export const SIGNATURES = [
  scenario(
    'signing',
    'owned',
    'TPM_Sign, TPM_Quote, TPM_Quote2: every scheme, every usage.',
    signing,
  ),
];
