/**
 * Making keys (TPM Main Part 3, §6.1 and §10.4): what a template may ask for, and the key that comes
 * of it.
 * @module
 */

import type { Call } from '../call.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { createdNow } from '../state/pcr.js';
import { noBytes20 } from '../structures/basic.js';
import {
  AuthDataUsage,
  isKey12,
  KeyUsage,
  type KeyWithSecret,
  noKey,
  Payload,
  type PublicPart,
  pubDataDigest,
} from '../structures/key.js';
import { Algorithm, EncScheme, SigScheme } from '../structures/key-parms.js';
import { exponentOf } from './numbers.js';

const { NONE: NO_ENC, RSAES_PKCS_V15: PKCS, RSAES_OAEP_SHA1_MGF1: OAEP } = EncScheme;

const { NONE: NO_SIG, PKCS1_SHA1: SHA1, PKCS1_DER: DER, PKCS1_INFO: INFO } = SigScheme;

interface Rule {
  readonly usage: number;
  readonly enc: readonly number[];
  readonly sig: readonly number[];
  readonly bitsMin: number;
  /** Whether the exponent must be 65537. */
  readonly usualExponent: boolean;
}

/** Part 2 §5.8.1: the schemes that go with each usage, and the least length. */
// biome-ignore format: table
const RULES: readonly Rule[] = [
  { usage: KeyUsage.SIGNING,    enc: [NO_ENC],     sig: [SHA1, DER, INFO], bitsMin: 0,    usualExponent: false },
  { usage: KeyUsage.STORAGE,    enc: [OAEP],       sig: [NO_SIG],          bitsMin: 2048, usualExponent: true  },
  { usage: KeyUsage.IDENTITY,   enc: [NO_ENC],     sig: [SHA1],            bitsMin: 2048, usualExponent: true  },
  { usage: KeyUsage.AUTHCHANGE, enc: [OAEP],       sig: [NO_SIG],          bitsMin: 512,  usualExponent: false },
  { usage: KeyUsage.BIND,       enc: [OAEP, PKCS], sig: [NO_SIG],          bitsMin: 0,    usualExponent: false },
  { usage: KeyUsage.LEGACY,     enc: [OAEP, PKCS], sig: [SHA1, DER],       bitsMin: 0,    usualExponent: false },
  { usage: KeyUsage.MIGRATE,    enc: [OAEP],       sig: [NO_SIG],          bitsMin: 2048, usualExponent: true  },
];

const FIPS_BITS_MIN = 1024;

/**
 * Demands that the parameters of a key go together.
 * @throws TpmFault NOTFIPS, BAD_KEY_PROPERTY
 */
export function demandKeyProperties(key: PublicPart, fips: boolean, bits?: number): void {
  if (fips) demand(key.authDataUsage !== AuthDataUsage.NEVER, 'NOTFIPS');
  const { algorithmID, encScheme, sigScheme, rsa } = key.algorithmParms;
  demand(algorithmID === Algorithm.RSA && rsa !== undefined, 'BAD_KEY_PROPERTY');
  demand(bits === undefined || rsa.keyLength === bits, 'BAD_KEY_PROPERTY');
  demand(rsa.keyLength <= LIMITS.keyBits, 'BAD_KEY_PROPERTY');
  demand(rsa.numPrimes === 2, 'BAD_KEY_PROPERTY');
  if (fips) {
    demand(rsa.keyLength >= FIPS_BITS_MIN && key.keyUsage !== KeyUsage.LEGACY, 'NOTFIPS');
  }
  const rule = RULES.find(({ usage }) => usage === key.keyUsage);
  demand(rule?.enc.includes(encScheme) === true, 'BAD_KEY_PROPERTY');
  demand(rule.sig.includes(sigScheme) && rsa.keyLength >= rule.bitsMin, 'BAD_KEY_PROPERTY');
  if (rule.usualExponent) demandUsualExponent(rsa.exponent);
}

/** @throws TpmFault BAD_KEY_PROPERTY for an exponent that is not 65537 */
export const demandUsualExponent = (exponent: Uint8Array): void =>
  demand(isUsual(exponent), 'BAD_KEY_PROPERTY');

/** 65537: no bytes, or its own three, with any zeros behind them that libtpms lets stand. */
const isUsual = (exponent: Uint8Array): boolean =>
  exponent.length === 0 ||
  (exponent.length >= 3 && exponent.every((byte, at) => byte === ([1, 0, 1][at] ?? 0)));

/** OpenSSL makes no smaller ones. */
const BITS_MIN = 512;

/** Makes the key that `params` ask for. Its secrets are zeros as yet. */
export function createKey(call: Call, params: PublicPart): KeyWithSecret {
  const { algorithmParms } = params;
  const { rsa } = algorithmParms;
  demand(rsa !== undefined, 'BAD_KEY_PROPERTY');
  const bits = rsa.keyLength;
  demand(bits % 16 === 0, 'BAD_KEY_PROPERTY');
  const exponent = exponentOf(algorithmParms);
  demand(bits >= BITS_MIN, 'BAD_KEY_PROPERTY');
  const { modulus, prime } = call.tpm.generateKey(bits, exponent);
  const key = {
    head: isKey12(params.head) ? params.head : noKey().head,
    keyUsage: params.keyUsage,
    keyFlags: params.keyFlags,
    authDataUsage: params.authDataUsage,
    algorithmParms,
    ...createdNow(call.state.stclear.pcrs, call.locality, params),
    pubKey: modulus,
  };
  const secret = {
    payload: Payload.ASYM,
    usageAuth: noBytes20(),
    migrationAuth: noBytes20(),
    pubDataDigest: pubDataDigest(key),
    prime,
  };
  return { ...key, secret };
}
