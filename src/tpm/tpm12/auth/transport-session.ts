/**
 * Transport sessions (TPM Main Part 1, §18): a channel to the TPM that carries commands, encrypted,
 * logged, or exclusive.
 * @module
 */
import { concat, encode, type Of } from '../../../wire/codec.js';
import { cipherStream } from '../../crypto/aes.js';
import { sha1 } from '../../crypto/hash.js';
import { mgf1 } from '../../crypto/oaep.js';
import { xor } from '../../crypto/secrets.js';
import { hasMask } from '../../kernel/bits.js';
import { demand, TpmFault } from '../results.js';
import type { TpmState } from '../state/state.js';
import { Algorithm, EncScheme } from '../structures/key-parms.js';
import {
  Attribute,
  logIn,
  logOut,
  type TransportPublic,
  type TransportSession,
} from '../structures/transport-public.js';

export const has = (
  { transPublic }: TransportSession,
  attribute: keyof typeof Attribute,
): boolean => hasMask(transPublic.transAttributes, Attribute[attribute]);

/** @throws TpmFault INVALID_AUTHHANDLE where there is no such session */
export function findTransport({ stclear }: TpmState, handle: number): TransportSession {
  const found = stclear.transSessions.find(handle);
  demand(found !== undefined, 'INVALID_AUTHHANDLE');
  return found;
}

/** Ends a transport session, where there is one. */
export function endTransport({ stclear, stany }: TpmState, handle: number): boolean {
  if (stany.transportExclusive === handle && stclear.transSessions.find(handle) !== undefined) {
    stany.transportExclusive = 0;
  }
  return stclear.transSessions.remove(handle);
}

/** Ends the exclusive session, unless it is this one that is used. */
export function endExclusive(state: TpmState, used?: number): void {
  const { transportExclusive } = state.stany;
  if (transportExclusive !== 0 && transportExclusive !== used) {
    endTransport(state, transportExclusive);
  }
}

/** Demands a way to encrypt that this TPM has. */
export function demandScheme({ algId, encScheme }: TransportPublic, fips: boolean): void {
  if (algId === Algorithm.MGF1) {
    demand(!fips && encScheme === EncScheme.NONE, 'INAPPROPRIATE_ENC');
    return;
  }
  demand(algId === Algorithm.AES128, 'BAD_KEY_PROPERTY');
  demand(CIPHERS[encScheme] !== undefined, 'INAPPROPRIATE_ENC');
}

const CIPHERS: Readonly<Record<number, 'ctr' | 'ofb'>> = {
  [EncScheme.SYM_CTR]: 'ctr',
  [EncScheme.SYM_OFB]: 'ofb',
};

const BLOCK_BYTES = 16;

/** Encrypts or decrypts what goes in or out of a session; both are the same. */
export function crypt(
  session: TransportSession,
  nonceOdd: Uint8Array,
  direction: 'in' | 'out',
  data: Uint8Array,
): Uint8Array {
  if (!has(session, 'ENCRYPT') || data.length === 0) return data;
  const { transNonceEven, authData, transPublic } = session;
  const seed = concat(transNonceEven, nonceOdd, new TextEncoder().encode(direction));
  if (transPublic.algId === Algorithm.MGF1) {
    return xor(data, mgf1(concat(seed, authData), data.length));
  }
  const mode = CIPHERS[transPublic.encScheme];
  if (mode === undefined) throw new TpmFault('INAPPROPRIATE_ENC');
  return cipherStream(mode, authData.subarray(0, BLOCK_BYTES), mgf1(seed, BLOCK_BYTES), data);
}

export function logInto(
  session: TransportSession,
  parameters: Uint8Array,
  pubKeyHash: Uint8Array,
): void {
  session.transDigest = sha1(session.transDigest, encode(logIn, { parameters, pubKeyHash }));
}

export function logOutOf(session: TransportSession, event: Of<typeof logOut>): void {
  session.transDigest = sha1(session.transDigest, encode(logOut, event));
}
