/**
 * Transport sessions (TPM Main Part 1, §18; Part 2, §13): a channel to the TPM through which commands
 * go, encrypted, logged, or alone. 16 of them, by place.
 * @module
 */
import { bool, concat, encode, flags64, type Of, struct, u32 } from '../../../wire/codec.js';
import { cipherStream, hmacSha1, mgf1, sameSecret, sha1, wipe, xor } from '../../crypto/rsa.js';
import type { Entropy } from '../../engine.js';
import { LIMITS } from '../limits.js';
import { demand, TpmFault } from '../results.js';
import type { TpmState } from '../state/state.js';
import {
  Algorithm,
  currentTicks,
  digest,
  EncScheme,
  nonce,
  secret,
  structure,
} from '../structures/basic.js';
import {
  Attribute,
  type TransportPublic,
  type TransportSession,
} from '../structures/transport-public.js';
import type { CallContext } from './call-context.js';
import type { GuestAuth } from './guest-auth.js';
import { takeHandle, type WantedHandle } from './handles.js';

const logIn = structure(0x0010, { parameters: digest, pubKeyHash: digest });
const logOut = structure(0x0011, { currentTicks, parameters: digest, locality: u32 });

export const has = (
  { transPublic }: TransportSession,
  attribute: keyof typeof Attribute,
): boolean => Math.floor(transPublic.transAttributes / Attribute[attribute]) % 2 === 1;

export const transportPlaces = (...sessions: readonly TransportSession[]) =>
  Array.from({ length: LIMITS.transportSessions }, (_, place) => sessions[place]);

/** @throws TpmFault INVALID_AUTHHANDLE where there is no such session */
export function findTransport({ stclear }: TpmState, handle: number): TransportSession {
  const found = stclear.transSessions.find(session => session?.transHandle === handle);
  demand(found !== undefined, 'INVALID_AUTHHANDLE');
  return found;
}

/** @throws TpmFault RESOURCES where there is no place */
export function placeTransport(
  { stclear }: TpmState,
  session: TransportSession,
  entropy: Entropy,
  wanted?: WantedHandle,
): number {
  const { transSessions } = stclear;
  const place = transSessions.indexOf(undefined);
  demand(place >= 0, 'RESOURCES');
  const isFree = (handle: number): boolean =>
    !transSessions.some(one => one?.transHandle === handle);
  const transHandle = takeHandle(isFree, entropy, wanted);
  transSessions[place] = { ...session, transHandle };
  return transHandle;
}

/** Ends a transport session, where there is one. */
export function endTransport({ stclear, stany }: TpmState, handle: number): boolean {
  const { transSessions } = stclear;
  const place = transSessions.findIndex(session => session?.transHandle === handle);
  if (place < 0) return false;
  if (stany.transportExclusive === handle) stany.transportExclusive = 0;
  wipe(transSessions[place]!.authData);
  transSessions[place] = undefined;
  return true;
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

const responseTrailer = struct({
  transNonceEven: nonce,
  continueTransSession: bool,
  transAuth: secret,
});

/** The authorisation of a command by a transport session. */
export class TransportAuth {
  readonly #call: CallContext;
  readonly #guest: GuestAuth;
  /** The session; libtpms works on a copy, of which nothing stays where the command fails. */
  readonly session: TransportSession;
  /** Whether the even nonce of the answer was drawn already. */
  nonceIsDrawn = false;

  constructor(call: CallContext, guest: GuestAuth) {
    this.#call = call;
    this.#guest = guest;
    endExclusive(call.state, guest.handle);
    this.session = findTransport(call.state, guest.handle);
  }

  get nonceOdd(): Uint8Array {
    return this.#guest.nonceOdd;
  }

  /** A wrong HMAC does not count towards the lockout. */
  check(inParamDigest: Uint8Array): void {
    const { authData, transNonceEven } = this.session;
    const proceed = encode(bool, this.#guest.goesOn);
    const expected = hmacSha1(authData, inParamDigest, transNonceEven, this.nonceOdd, proceed);
    demand(sameSecret(expected, this.#guest.authData), 'AUTH2FAIL');
  }

  get goesOn(): boolean {
    return this.#guest.goesOn;
  }

  end(): void {
    this.#guest.end();
  }

  answer(outParamDigest: Uint8Array): Uint8Array {
    const { session } = this;
    if (!this.nonceIsDrawn) session.transNonceEven = this.#call.tpm.entropy(20);
    const continueTransSession = this.#guest.goesOn;
    const proceed = encode(bool, continueTransSession);
    const { authData, transNonceEven } = session;
    const transAuth = hmacSha1(authData, outParamDigest, transNonceEven, this.nonceOdd, proceed);
    return encode(responseTrailer, { transNonceEven, continueTransSession, transAuth });
  }
}

/** The count of the ticks alone. */
export const tickCount = flags64;
