/**
 * The authorisation of a command by a transport session (TPM Main Part 3, §24).
 * @module
 */
import { bool, encode, struct } from '../../../wire/codec.js';
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import { demand } from '../results.js';
import { nonce, secret } from '../structures/basic.js';
import type { TransportSession } from '../structures/transport-public.js';
import type { GuestAuth } from './guest-auth.js';
import type { Here } from './here.js';
import { endExclusive, findTransport } from './transport-session.js';

const responseTrailer = struct({
  transNonceEven: nonce,
  continueTransSession: bool,
  transAuth: secret,
});

/** The authorisation of a command by a transport session. */
export class TransportAuth {
  readonly #call: Here;
  readonly #guest: GuestAuth;
  /** The session; libtpms works on a copy, of which nothing stays where the command fails. */
  readonly session: TransportSession;
  /** Whether the even nonce of the answer was drawn already. */
  nonceIsDrawn = false;

  constructor(call: Here, guest: GuestAuth) {
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
