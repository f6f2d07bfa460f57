/**
 * Authorisation sessions as the guest keeps them: rolling nonces, the HMAC of a command and of its
 * response, and the XOR that hides a new secret on its way. A session is a plain value; using it
 * gives the next one. Source: TPM Main Part 1 §13 (OIAP, OSAP, ADIP) and Part 3 §1.2.
 * @module
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { bool, concat, encode, Reader, struct, u32 } from '../wire/codec.js';
import { TAG } from './constants.js';
import { bodyOf, type Command, type Exchange, form, frame, parse, unframe } from './frames.js';
import { RESULT, TpmResponseFault } from './result-codes.js';
import { nonce } from './structures.js';

/** One open session. OIAP: each command brings its secret. OSAP: bound to one entity's secret. */
export interface Session {
  readonly handle: number;
  readonly nonceEven: Uint8Array;
  /** The shared secret of an OSAP session; undefined for OIAP. */
  readonly shared: Uint8Array | undefined;
}

/** What the guest adds to an authorised command. */
export interface Authorisation {
  readonly session: Session;
  /** The secret of the entity: 20 bytes. An OSAP session has its own and ignores it. */
  readonly secret: Uint8Array;
  readonly nonceOdd: Uint8Array;
  /** Whether the session shall live on. Default: false. */
  readonly continueSession?: boolean;
}

/** The output of an authorised command, and the session as it is now, if the TPM kept it. */
export interface Authorised<T> {
  readonly value: T;
  readonly session: Session | undefined;
}

const responseAuth = struct({ nonceEven: nonce, continueSession: bool, resAuth: nonce });
const RESPONSE_AUTH_BYTES = 41;

export const sha1 = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(
    createHash('sha1')
      .update(concat(...parts))
      .digest(),
  );

export const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(
    createHmac('sha1', key)
      .update(concat(...parts))
      .digest(),
  );

/** The secret of a password, as trousers and tpm-tools make it: the SHA-1 of its bytes. */
export const secretOf = (password: string): Uint8Array => sha1(new TextEncoder().encode(password));

/** The well-known secret of the tools (`-z`, `-y`): 20 zero bytes. */
export const WELL_KNOWN_SECRET: Uint8Array = new Uint8Array(20);

/** The shared secret of an OSAP session: from the entity's secret and one nonce of each side. */
export const osapShared = (
  secret: Uint8Array,
  nonceEvenOsap: Uint8Array,
  nonceOddOsap: Uint8Array,
): Uint8Array => hmac(secret, nonceEvenOsap, nonceOddOsap);

/**
 * ADIP: hides the 20 bytes of `secret` under an OSAP session's secret and its last nonce; a second
 * secret in one command goes under the guest's nonce of that command.
 */
export function encryptAuth(
  session: Session,
  secret: Uint8Array,
  rolling: Uint8Array = session.nonceEven,
): Uint8Array {
  if (session.shared === undefined) throw new TypeError('a new secret travels in an OSAP session');
  const pad = sha1(session.shared, rolling);
  return secret.map((byte, i) => byte ^ pad[i]!);
}

/** Sends `command` under one session. */
export function authorised<T>(
  command: Command<T>,
  authorisation: Authorisation,
): Exchange<Authorised<T>> {
  const { request, verify } = authorisedBy(command, [authorisation]);
  return {
    ordinal: command.ordinal,
    request,
    verify(response) {
      const { value, sessions } = verify(response);
      return { value, session: sessions[0] };
    },
  };
}

/** The output of a command that was authorised twice, and both sessions as they are now. */
export interface AuthorisedTwice<T> {
  readonly value: T;
  readonly sessions: readonly (Session | undefined)[];
}

const TAGS = [
  { request: TAG.RQU_AUTH1_COMMAND, response: TAG.RSP_AUTH1_COMMAND },
  { request: TAG.RQU_AUTH2_COMMAND, response: TAG.RSP_AUTH2_COMMAND },
];

/** Sends `command` under one session, or two. */
export function authorisedBy<T>(
  command: Command<T>,
  authorisations: readonly Authorisation[],
): Exchange<AuthorisedTwice<T>> {
  const { ordinal, params, outHandleBytes = 0 } = command;
  const ordinalBytes = encode(u32, ordinal);
  const inDigest = sha1(ordinalBytes, params);
  const trailers = authorisations.map(one => {
    const goesOn = encode(bool, one.continueSession ?? false);
    const proof = hmac(keyOf(one), inDigest, one.session.nonceEven, one.nonceOdd, goesOn);
    return concat(encode(u32, one.session.handle), one.nonceOdd, goesOn, proof);
  });
  const tag = TAGS[authorisations.length - 1]!;

  return {
    ordinal,
    request: frame(tag.request, ordinal, concat(bodyOf(command), ...trailers)),
    verify(response) {
      const body = unframe(ordinal, tag.response, response);
      const split = Math.max(0, body.length - RESPONSE_AUTH_BYTES * authorisations.length);
      const outParams = body.slice(0, split);
      const covered = outParams.slice(outHandleBytes);
      const outDigest = sha1(encode(u32, RESULT.SUCCESS), ordinalBytes, covered);
      const from = new Reader(body.slice(split));
      const sessions = authorisations.map(one => {
        const auth = form(ordinal, () => responseAuth.read(from));
        const lives = encode(bool, auth.continueSession);
        const proof = hmac(keyOf(one), outDigest, auth.nonceEven, one.nonceOdd, lives);
        if (!timingSafeEqual(auth.resAuth, proof)) {
          const why = 'its HMAC is not of the secret that the command was sent with';
          throw new TpmResponseFault('RESPONSE_AUTH', ordinal, why);
        }
        return auth.continueSession ? { ...one.session, nonceEven: auth.nonceEven } : undefined;
      });
      return { value: parse(command, outParams), sessions };
    },
  };
}

const keyOf = ({ session, secret }: Authorisation): Uint8Array => session.shared ?? secret;
