/**
 * Data that is sealed to the TPM (TPM Main Part 3 §10.1, §10.2, §10.7).
 * @module
 */
import { commands, ENTITY, encryptAuth, HANDLE, pcrsHolding, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import { type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import {
  DATA,
  FLAG,
  info11,
  infoLong,
  KEY,
  make,
  pcrZero,
  SIGNING_DER,
  STORAGE,
  ZEROS,
} from './keys-common.js';

const { byte, counted, rawCommand, word16 } = raw;
const NO_INFO = new Uint8Array();
const PLAIN = new TextEncoder().encode('what nobody else must know');
/** TPM_ET_AES128_CTR in the upper byte of an entity type. */
const AES = 0x0600;

/** How to seal, where not as TPM_Seal does under a session of XOR. */
interface Sealing {
  readonly data?: Uint8Array;
  /** TPM_Sealx. */
  readonly x?: boolean;
  readonly scheme?: number;
}

/** Seals in an OSAP session to a key; gives the blob. */
function seal(
  tpm: Recorder,
  what: string,
  handle: number,
  info: Uint8Array,
  { data = PLAIN, x = false, scheme = 0 }: Sealing = {},
): Uint8Array {
  const secret = handle === HANDLE.SRK ? SRK : KEY;
  const session = tpm.osap(`a session: ${what}`, ENTITY.KEYHANDLE + scheme, handle, secret);
  if (session === undefined) return new Uint8Array();
  const encrypted = encryptAuth(session, DATA);
  const name = x ? 'Sealx' : 'Seal';
  const command = rawCommand(name, 1, handle, encrypted, counted(info), counted(data));
  return tpm.auth(what, command, secret, { session }).value ?? new Uint8Array();
}

const unseal = (
  tpm: Recorder,
  what: string,
  handle: number,
  secret: Uint8Array,
  blob: Uint8Array,
  data = DATA,
) => tpm.auth2(what, raw.unseal(handle, blob), { secret }, { secret: data });

function underSrk(tpm: Recorder, storage: number): void {
  const srk = seal(tpm, 'under the SRK', HANDLE.SRK, NO_INFO);
  unseal(tpm, 'it comes back', HANDLE.SRK, SRK, srk);
  unseal(tpm, 'with a wrong secret of its own', HANDLE.SRK, SRK, srk, WRONG);
  unseal(tpm, 'with a wrong secret of the SRK', HANDLE.SRK, WRONG, srk);
  unseal(tpm, 'under another key', storage, KEY, srk);
  tpm.auth('with one authorisation', raw.unseal(HANDLE.SRK, srk), DATA);
  tpm.do('with none', raw.unseal(HANDLE.SRK, srk));
  for (const at of [0, 2, 40, srk.length - 1]) {
    const bent = srk.slice();
    bent[at]! ^= 1;
    unseal(tpm, `bent in byte ${at}`, HANDLE.SRK, SRK, bent);
  }
}

function forPcrsAndLocalities(tpm: Recorder, storage: number): void {
  const bound = seal(tpm, 'for PCR 16', storage, info11(16, pcrZero()));
  unseal(tpm, 'it comes back', storage, KEY, bound);
  const long = seal(tpm, 'for PCR 16 and locality 0', storage, infoLong(1));
  unseal(tpm, 'it comes back', storage, KEY, long);
  const elsewhere = seal(tpm, 'for locality 3', storage, infoLong(8));
  unseal(tpm, 'it does not come back here', storage, KEY, elsewhere);
  tpm.locality(3);
  unseal(tpm, 'it comes back there', storage, KEY, elsewhere);
  tpm.locality(0);
  tpm.do('PCR 16 changes', commands.extend(16, DIGEST));
  unseal(tpm, 'for PCR 16: not any more', storage, KEY, bound);
  unseal(tpm, 'the long one: not any more', storage, KEY, long);
}

function refusedSeals(tpm: Recorder): void {
  seal(tpm, 'nothing', HANDLE.SRK, NO_INFO, { data: new Uint8Array() });
  seal(tpm, 'too much', HANDLE.SRK, NO_INFO, { data: new Uint8Array(150) });
  seal(tpm, 'far too much', HANDLE.SRK, NO_INFO, { data: new Uint8Array(250) });
  seal(tpm, 'for what is no PCR information', HANDLE.SRK, DIGEST);
  seal(tpm, 'for too many PCRs', HANDLE.SRK, concat(word16(4), new Uint8Array(44)));
  seal(tpm, 'for one byte', HANDLE.SRK, byte(0));
  seal(tpm, 'for locality 0x20', HANDLE.SRK, infoLong(0x20));
}

function underOtherKeys(tpm: Recorder): void {
  const signing = make(tpm, 'a signing key', SIGNING_DER);
  seal(tpm, 'under a signing key', signing, NO_INFO);
  const moves = make(tpm, 'a migratable key', { ...STORAGE, keyFlags: FLAG.MIGRATABLE });
  seal(tpm, 'under a migratable key', moves, NO_INFO);
  const free = make(tpm, 'a storage key that needs no authorisation', {
    ...STORAGE,
    authDataUsage: 0,
  });
  const easy = seal(tpm, 'under that', free, NO_INFO);
  tpm.auth('with one authorisation', raw.unseal(free, easy), DATA);
  const session = tpm.osap('an OSAP session for the data', ENTITY.KEYHANDLE, free, KEY);
  tpm.auth('with an OSAP session', raw.unseal(free, easy), DATA, { session });
}

/** TPM_Sealx, by XOR. */
function encryptedByXor(tpm: Recorder): void {
  const atRelease = pcrsHolding(new Map([[16, ZEROS]])).digestAtRelease;
  const bound = seal(tpm, 'encrypted, XOR', HANDLE.SRK, infoLong(1, atRelease), { x: true });
  unseal(tpm, 'in an OIAP session', HANDLE.SRK, SRK, bound);
  const free = seal(tpm, 'encrypted for nothing', HANDLE.SRK, NO_INFO, { x: true });
  unseal(tpm, 'in an OIAP session', HANDLE.SRK, SRK, free);
  tpm.auth('with one authorisation', raw.unseal(HANDLE.SRK, free), DATA);
  const session = tpm.osap('a session to the SRK', ENTITY.KEYHANDLE, HANDLE.SRK, SRK);
  tpm.auth2(
    'in an OSAP session',
    raw.unseal(HANDLE.SRK, free),
    { secret: SRK, session, goOn: true },
    { secret: DATA, goOn: true },
  );
}

/** TPM_Sealx, by AES. */
function encryptedByAes(tpm: Recorder): void {
  const aes = seal(tpm, 'encrypted, AES', HANDLE.SRK, NO_INFO, { x: true, scheme: AES });
  const session = tpm.osap('a session to the SRK', ENTITY.KEYHANDLE + AES, HANDLE.SRK, SRK);
  tpm.auth2(
    'in an OSAP session',
    raw.unseal(HANDLE.SRK, aes),
    { secret: SRK, session },
    { secret: DATA },
  );
}

function sealing(tpm: Recorder): void {
  start(tpm);
  const storage = make(tpm, 'a storage key', STORAGE);
  underSrk(tpm, storage);
  forPcrsAndLocalities(tpm, storage);
  refusedSeals(tpm);
  underOtherKeys(tpm);
  encryptedByXor(tpm);
  encryptedByAes(tpm);
  seal(tpm, 'encrypted nothing', HANDLE.SRK, NO_INFO, { data: new Uint8Array(), x: true });
  const oldInfo = info11(16, pcrZero());
  seal(tpm, 'encrypted, for old PCR information', HANDLE.SRK, oldInfo, { x: true });
  tpm.auth(
    'sealing in an OIAP session',
    rawCommand('Seal', 1, HANDLE.SRK, DATA, counted(NO_INFO), counted(PLAIN)),
    SRK,
  );
}

export const SEALING = [
  scenario('sealing', 'owned', 'TPM_Seal, TPM_Sealx and TPM_Unseal.', sealing),
];
