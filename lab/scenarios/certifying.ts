/**
 * Keys that certify others (TPM Main Part 3 §13.8, §13.9).
 * @module
 */
import { HANDLE, raw } from '../../src/guest/index.js';
import { concat } from '../../src/wire/codec.js';
import { type Recorder, SRK, scenario, WRONG } from '../recorder/recorder.js';
import { DIGEST, start } from './common.js';
import {
  BINDING,
  drop,
  FLAG,
  info11,
  infoLong,
  KEY,
  make,
  pcrZero,
  SIGNING,
  SIGNING_DER,
  STORAGE,
  template12,
  use,
  ZEROS,
} from './keys-common.js';

const { byte, rawCommand, selection, word16 } = raw;
const BOTH_KEYS = [{ secret: KEY }, { secret: KEY }] as const;
const FIRST_WRONG = [{ secret: WRONG }, { secret: KEY }] as const;
const SECOND_WRONG = [{ secret: KEY }, { secret: WRONG }] as const;

/** Keys that are certified. */
const TARGETS = {
  signing: SIGNING_DER,
  storage: STORAGE,
  binding: BINDING,
  migratable: { ...SIGNING_DER, keyFlags: FLAG.MIGRATABLE },
  'PCR 1': { ...SIGNING_DER, pcrInfo: info11(1, DIGEST) },
  'PCR 16': { ...SIGNING_DER, pcrInfo: info11(16, pcrZero()) },
  'TPM 1.2': template12(SIGNING_DER, infoLong(0x1f)),
  'TPM 1.2, locality 0': template12(SIGNING_DER, infoLong(1)),
  'TPM 1.2, no PCRs': template12(
    SIGNING_DER,
    concat(word16(6), byte(1), byte(0x1f), selection(), selection(), ZEROS, ZEROS),
  ),
  'TPM 1.2, no information': template12(SIGNING_DER, new Uint8Array()),
  'no authorisation': { ...SIGNING_DER, authDataUsage: 0 },
};

const certify = (by: number, key: number) => rawCommand('CertifyKey', 2, by, key, DIGEST);
const certify2 = (by: number, key: number) => rawCommand('CertifyKey2', 2, key, by, ZEROS, DIGEST);

/** A key of each kind is certified with two authorisations, one and none. */
function certifyTargets(tpm: Recorder, cert: number): void {
  for (const [what, key] of Object.entries(TARGETS)) {
    const target = make(tpm, what, key);
    tpm.auth2(`${what}: certified`, certify(cert, target), ...BOTH_KEYS);
    tpm.auth2(`${what}: certified anew`, certify2(cert, target), ...BOTH_KEYS);
    use(tpm, `${what}: one authorisation`, certify(cert, target));
    use(tpm, `${what}: one authorisation anew`, certify2(cert, target));
    tpm.do(`${what}: no authorisation`, certify(cert, target));
    tpm.do(`${what}: no authorisation anew`, certify2(cert, target));
    drop(tpm, what, target);
  }
}

function withWrongSecrets(tpm: Recorder, cert: number, target: number): void {
  tpm.auth2('a wrong secret of the first', certify(cert, target), ...FIRST_WRONG);
  tpm.auth2('a wrong secret of the second', certify(cert, target), ...SECOND_WRONG);
  tpm.auth2('anew: a wrong secret of the first', certify2(cert, target), ...FIRST_WRONG);
  tpm.auth2('anew: a wrong secret of the second', certify2(cert, target), ...SECOND_WRONG);
}

function byOtherKeys(tpm: Recorder, cert: number, target: number): void {
  const free = make(tpm, 'a signing key that needs no authorisation', {
    ...SIGNING,
    authDataUsage: 0,
  });
  use(tpm, 'one authorisation', certify(free, target));
  use(tpm, 'anew: one authorisation', certify2(target, free));
  tpm.do('none', certify(free, free));
  tpm.do('anew: none', certify2(free, free));
  tpm.auth2('by a key of the DER scheme', certify(target, cert), ...BOTH_KEYS);
  tpm.auth2('by a storage key', certify(HANDLE.SRK, target), { secret: SRK }, { secret: KEY });
  tpm.auth2('the SRK', certify(cert, HANDLE.SRK), { secret: KEY }, { secret: SRK });
  tpm.auth2('itself', certify(cert, cert), ...BOTH_KEYS);
  const one = tpm.oiap('one session');
  tpm.auth2(
    'both in one session',
    certify(cert, target),
    { secret: KEY, session: one, goOn: true },
    { secret: KEY, session: one, goOn: true },
  );
  tpm.do('no keys', certify(0x1234, 0x1235));
}

function certifying(tpm: Recorder): void {
  start(tpm);
  const cert = make(tpm, 'the signing key', SIGNING);
  certifyTargets(tpm, cert);
  const target = make(tpm, 'a key', SIGNING_DER);
  withWrongSecrets(tpm, cert, target);
  byOtherKeys(tpm, cert, target);
}

export const CERTIFYING = [
  scenario('certifying', 'owned', 'TPM_CertifyKey and TPM_CertifyKey2.', certifying),
];
