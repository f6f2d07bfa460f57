/**
 * One command in execution: its locality and authorisations, and what it has altered.
 * @module
 */
import assert from 'node:assert/strict';
import type { Entity, GuestAuth } from './auth/guest-auth.js';
import type { Here } from './auth/here.js';
import { secondsOf } from './auth/lockout.js';
import type { TransportAuth } from './auth/transport-auth.js';
import { endTransport } from './auth/transport-session.js';
import type { CommandFacts, Environment } from './environment.js';
import { LIMITS } from './limits.js';
import { demand } from './results.js';
import type { PermanentFlag } from './state/permanent.js';
import type { TpmState } from './state/state.js';
import type { TransportSession } from './structures/transport-public.js';

/** The authorisations that a command comes with, by how many its record asks for. */
interface Auths {
  none: readonly [];
  one: readonly [GuestAuth];
  two: readonly [GuestAuth, GuestAuth];
  optional: readonly [] | readonly [GuestAuth];
  oneOrTwo: readonly [GuestAuth] | readonly [GuestAuth, GuestAuth];
  upToTwo: readonly [] | readonly [GuestAuth] | readonly [GuestAuth, GuestAuth];
}
export type AuthCount = keyof Auths;
type First<T> = T extends readonly [infer One, ...unknown[]] ? One : undefined;
type Second<T> = T extends readonly [unknown, infer Two] ? Two : undefined;

/** @template A how many authorisations the command comes with */
export class Call<A extends AuthCount = AuthCount> implements Here {
  readonly tpm: Environment;
  readonly locality: number;
  readonly ordinal: number;
  readonly delegable: Here['delegable'];
  /** SHA-1 over the ordinal and the parameters: what the guest's HMAC covers. */
  inParamDigest: Uint8Array = new Uint8Array(20);
  /** The guest's authorisations, where it came with any that parse. */
  auths: Auths[A];
  /** The transport session that authorises this command, and the handle that was given for it. */
  transportAuth: TransportAuth | undefined;
  transportHandle: number | undefined;
  /** The transport session that this command came through. */
  readonly through: TransportSession | undefined;
  /** What the HMAC of the answer covers, where that is not the output itself. */
  outParamDigest: Uint8Array | undefined;
  /** What is audited, where that is not the input and the output. */
  auditDigests: { readonly input: Uint8Array; readonly output: Uint8Array } | undefined;
  /** Whether the permanent state in memory is no longer the stored one. */
  altered = false;
  /** Whether a session lives on although the command is refused. */
  sparesSession = false;

  constructor(
    tpm: Environment,
    { ordinal, delegable = {} }: Pick<CommandFacts, 'ordinal' | 'delegable'>,
    locality: number,
    through?: TransportSession,
  ) {
    this.through = through;
    this.tpm = tpm;
    this.ordinal = ordinal;
    this.delegable = delegable;
    this.locality = locality;
    // Until they are parsed there are none: a command that is refused before has none to close.
    this.auths = [] as unknown as Auths[A];
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

  /** Whether the guest authorised itself at all. */
  get isAuthorised(): boolean {
    return this.auths.length > 0;
  }

  /** The guest's authorisation, and the second one of a command that has two. */
  get auth(): First<Auths[A]> {
    // What `auths` holds says so; TypeScript does not follow the index into the union.
    return this.auths[0] as First<Auths[A]>;
  }
  get auth2(): Second<Auths[A]> {
    return this.auths[1] as Second<Auths[A]>;
  }

  /** Demands the owner's authorisation. */
  authoriseOwner(this: Call<'one'>, protocol?: 'OSAP'): void {
    this.auth.authorise(this.owner, protocol);
  }

  /** The transport session that authorises this command, as its record says. */
  get usedTransport(): TransportAuth {
    assert(this.transportAuth !== undefined);
    return this.transportAuth;
  }

  /** The owner, as whom a command is authorised. */
  get owner(): Entity {
    const { ownerAuth } = this.state.permanent.data;
    return { owner: true, secret: ownerAuth, digest: ownerAuth };
  }

  /** Counts a failed authorisation towards the lockout. */
  countFailure(): void {
    const { stclear } = this.state;
    // The count is 16 bits wide where TPM_CAP_DA_LOGIC shows it.
    stclear.authFailCount = Math.min(stclear.authFailCount + 1, 0xffff);
    if (stclear.authFailCount > LIMITS.authFailures) stclear.authFailTime = secondsOf(this.tpm);
  }

  /** Ends the guest's sessions with this command, whatever the guest asked for. */
  endSessions(): void {
    for (const auth of this.auths) auth.end();
  }

  /** Closes the guest's sessions, and ends them where the guest or a refusal does. */
  close(refused: boolean): void {
    for (const auth of this.auths) auth.close(refused ? !this.sparesSession : !auth.goesOn);
    const ends = refused || this.transportAuth?.goesOn === false;
    if (this.transportHandle !== undefined && ends) endTransport(this.state, this.transportHandle);
  }
}
