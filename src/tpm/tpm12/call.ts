/**
 * One command on its way through the engine: what came with it, what it has altered, and whose
 * authorisation it showed (TPM Main Part 1, §13; Part 3, §18: OIAP and OSAP with rolling nonces).
 * @module
 */
import { bool, encode, type Of, struct, u32 } from '../../wire/codec.js';
import type { Clock, Entropy, NvramPort } from '../engine.js';
import { type GenerateKey, hmacSha1, sameSecret, wipe } from './crypto.js';
import { LIMITS } from './limits.js';
import type { PermanentFlag } from './permall.js';
import { demand, TpmFault } from './results.js';
import { terminate } from './sessions.js';
import { type AuthSession, Handle, Protocol, type TpmState } from './state.js';
import { nonce, secret } from './structures.js';

/** An engine, as its commands see it. */
export interface Tpm {
  state: TpmState;
  readonly nvram: NvramPort;
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly generateKey: GenerateKey;
  /** The pin by which the platform tells that somebody stands before it. */
  readonly presencePin: () => boolean;
  readonly isImplemented: (ordinal: number) => boolean;
}

/** The authorisation that follows the parameters of a command. */
// biome-ignore format: table
export const trailer = struct({
  authHandle:          u32,
  nonceOdd:            nonce,
  continueAuthSession: bool,
  authData:            secret,
});
type Trailer = Of<typeof trailer>;

/** The authorisation that follows the parameters of a response. */
// biome-ignore format: table
const responseTrailer = struct({
  nonceEven:           nonce,
  continueAuthSession: bool,
  authData:            secret,
});

/** What an authorisation is for: its secret, and the digest that an OSAP session bound itself to. */
export interface Entity {
  readonly owner?: boolean;
  readonly secret: Uint8Array;
  readonly digest: Uint8Array;
}

export class Call {
  readonly tpm: Tpm;
  readonly locality: number;
  readonly ordinal: number;
  /** SHA-1 over the ordinal and the parameters: what the guest's HMAC covers. */
  inParamDigest: Uint8Array = new Uint8Array(20);
  /** The guest's authorisation, where it came with one that parses. */
  trailer: Trailer | undefined;
  /** Whether the permanent state in memory is no longer the stored one. */
  altered = false;
  /** Whether a session lives on although the command is refused. */
  sparesSession = false;
  #session: AuthSession | undefined;
  #key: Uint8Array | undefined;

  constructor(tpm: Tpm, ordinal: number, locality: number) {
    this.tpm = tpm;
    this.ordinal = ordinal;
    this.locality = locality;
  }

  get state(): TpmState {
    return this.tpm.state;
  }

  /** Sets a permanent flag, and marks the state where that changes it. */
  setFlag(flag: PermanentFlag, value: boolean): void {
    const { flags } = this.state.permanent;
    if (flags[flag] === value) return;
    flags[flag] = value;
    this.altered = true;
  }

  /** TSC_PhysicalPresence by command, or by the pin, whichever is enabled. */
  get physicallyPresent(): boolean {
    const { flags } = this.state.permanent;
    if (flags.physicalPresenceCMDEnable && this.state.stclearFlags.physicalPresence) return true;
    return flags.physicalPresenceHWEnable && this.tpm.presencePin();
  }

  demandPresence(): void {
    demand(this.physicallyPresent, 'BAD_PRESENCE');
  }

  /** Opens the guest's session for `entity` and demands that its HMAC is right. */
  authorise(entity: Entity): void {
    this.openSession(entity);
    this.checkAuthorisation(this.#key!);
  }

  /** Demands the owner's authorisation. */
  authoriseOwner(): void {
    this.authorise(this.owner);
  }

  /** The owner, as whom a command is authorised. */
  get owner(): Entity {
    const { ownerAuth } = this.state.permanent.data;
    return { owner: true, secret: ownerAuth, digest: ownerAuth };
  }

  /**
   * Finds the guest's session, of the protocol that is asked for, and the key that its HMACs have:
   * the entity's secret in an OIAP session, the shared secret in an OSAP session to that entity.
   */
  openSession(entity: Entity, protocol?: 'OIAP' | 'OSAP'): void {
    const { stclear, permanent } = this.state;
    const session = stclear.authSessions.find(one => one?.handle === this.trailer?.authHandle);
    demand(session !== undefined, 'INVALID_AUTHHANDLE');
    if (protocol !== undefined) demand(session.protocol === Protocol[protocol], 'BAD_MODE');
    if (entity.owner) {
      demand(permanent.data.ownerInstalled, 'AUTHFAIL');
      // A delegation that a libtpms left pointed to: there are none here, so it opens nothing.
      demand(stclear.ownerReference === Handle.OWNER, 'AUTHFAIL');
    }
    if (session.protocol !== Protocol.OIAP) {
      demand(session.protocol === Protocol.OSAP, 'AUTHFAIL');
      demand(sameSecret(entity.digest, session.entityDigest), 'AUTHFAIL');
    }
    this.#session = session;
    this.keyIs(session.protocol === Protocol.OIAP ? entity.secret : session.sharedSecret);
  }

  /** Names the key of the HMACs where no session knows it: a secret that came with the command. */
  keyIs(key: Uint8Array): void {
    if (this.#key !== undefined) wipe(this.#key);
    this.#key = key.slice();
  }

  get session(): AuthSession {
    return this.#session!;
  }

  /** Demands the HMAC that `key` makes of this command. A wrong one counts towards the lockout. */
  checkAuthorisation(key: Uint8Array = this.#key!): void {
    const { nonceOdd, continueAuthSession, authData } = this.trailer!;
    const expected = hmacSha1(
      key,
      this.inParamDigest,
      this.session.nonceEven,
      nonceOdd,
      encode(bool, continueAuthSession),
    );
    if (sameSecret(expected, authData)) return;
    this.#countFailure();
    throw new TpmFault('AUTHFAIL');
  }

  #countFailure(): void {
    const { stclear } = this.state;
    // The count is 16 bits wide where TPM_CAP_DA_LOGIC shows it.
    stclear.authFailCount = Math.min(stclear.authFailCount + 1, 0xffff);
    if (stclear.authFailCount > LIMITS.authFailures) stclear.authFailTime = secondsOf(this.tpm);
  }

  /** The authorisation of the response: a new even nonce, and the HMAC over both. */
  answerAuthorisation(outParamDigest: Uint8Array): Uint8Array {
    const { nonceOdd, continueAuthSession } = this.trailer!;
    const nonceEven = this.tpm.entropy(20);
    this.session.nonceEven = nonceEven;
    const proceed = encode(bool, continueAuthSession);
    const authData = hmacSha1(this.#key!, outParamDigest, nonceEven, nonceOdd, proceed);
    return encode(responseTrailer, { nonceEven, continueAuthSession, authData });
  }

  /** Ends the guest's session with this command, whatever the guest asked for. */
  endSession(): void {
    if (this.trailer !== undefined) this.trailer.continueAuthSession = false;
  }

  /** Lets go of the session, where the guest or a refusal ends it, and of the key. */
  close(refused: boolean): void {
    if (this.#key !== undefined) wipe(this.#key);
    if (this.trailer === undefined) return;
    const ends = refused ? !this.sparesSession : !this.trailer.continueAuthSession;
    if (ends) terminate(this.state.stclear.authSessions, this.trailer.authHandle);
  }
}

/** The clock in seconds, as the lockout counts them. */
export const secondsOf = (tpm: Tpm): number => Math.floor(tpm.clock() / 1_000_000) % 2 ** 32;
