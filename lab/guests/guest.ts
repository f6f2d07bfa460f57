/**
 * A guest at random before two TPMs: what it asks for next is drawn from a seed, so that a seed is
 * all that it takes to see it again. What it can do is in families, one file each; here is what
 * they share: draws, secrets, sessions, and the ways in which a request goes wrong on purpose.
 */

import { createCipheriv } from 'node:crypto';
import {
  authorisedBy,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  RESULT,
  raw,
  type Session,
  STARTUP,
  Tpm12Client,
  TpmResponseError,
  TpmResponseFault,
} from '../../src/guest/index.js';
import { word } from '../files.js';
import { ownerSecret } from '../reference/states.js';
import { bendBytes, bendParams, bendRequest } from './bends.js';
import { Draws } from './draws.js';
import type { Subject } from './subject.js';

export { Kept } from './kept.js';
export type { Subject } from './subject.js';

/** How a guest behaves: how it revives a TPM that is out of service, and how often it does wrong. */
export interface Habits {
  readonly revive?: (guest: RandomGuest) => void;
  /** In one step of so many, things go wrong on purpose all over. */
  readonly spoilsOneIn?: number;
}

/** Something that a guest does, as often as it weighs until it has done everything. */
export type Action = readonly [weight: number, act: (guest: RandomGuest) => unknown];
export type Family = readonly Action[];

/** What a command is authorised with: a secret, in a session or in one of its own. */
export type Auth = readonly [
  secret: Uint8Array,
  session?: Session | undefined,
  nonceOdd?: Uint8Array,
];

/** A session to one entity, and how it hides new secrets on their way. */
export interface BoundSession extends Session {
  readonly scheme: 'XOR' | 'AES';
}

/** What an OSAP session is opened for: its type, its handle or index, its secret. */
export type Entity = readonly [type: number, value: number, secret: Uint8Array];

/**
 * What is wrong with a command: its parameters, under HMACs that are right for them; bytes of the
 * request, after the HMACs; a secret, a session; one authorisation too few or too many.
 */
type Fault = 'params' | 'request' | 'secret' | 'session' | 'auths';
const FAULTS = ['params', 'params', 'params', 'request', 'secret', 'session', 'auths'] as const;
const PLAIN_FAULTS = ['params', 'params', 'request', 'auths'] as const;
/** How many twins that fail an ordinal has in a guest's life, as long as it is met as often. */
const TWINS_MAX = 4;

const HEADER_CODE_AT = 6;
const WRONG = new Uint8Array(20).fill(0xee);
/** Only to see which command is to be built. */
const NO_SESSION: BoundSession = { handle: 0, nonceEven: WRONG, shared: WRONG, scheme: 'XOR' };
const NO_HANDLE = 0x1234;
const AUTH_FAILURES: readonly number[] = [RESULT.AUTHFAIL, RESULT.AUTH2FAIL];
/** What a guest hears from a TPM that is out of service, or has no owner. */
const TROUBLES: readonly number[] = [
  RESULT.DEACTIVATED,
  RESULT.DISABLED,
  RESULT.NOSRK,
  RESULT.FAILEDSELFTEST,
  RESULT.INVALID_POSTINIT,
  RESULT.DEFEND_LOCK_RUNNING,
];
/** Past five a lockout begins. A step of the guest's fails two or three times at most. */
const FAILURES_MAX = 3;
/** The scheme of ADIP in an entity type (TPM Main Part 2, §4.3). */
const ADIP_AES = 0x0600;
const AES_BYTES = 16;
const LOCALITIES = 5;

/** Takes a request to the TPMs, and brings the response. */
export type Carrier = (request: Uint8Array, wellFormed: boolean) => Uint8Array;

/** The two TPMs departed from each other, in a way that is listed. What was under way is over. */
class Departed extends Error {
  override readonly name = 'Departed';
}

export class RandomGuest extends Draws {
  readonly mirror: Subject;
  readonly client: Tpm12Client;
  /** The secrets of the owner and of the SRK, as the guest knows them. */
  owner: Uint8Array = ownerSecret();
  srk: Uint8Array = new Uint8Array(20);
  /** Other objects after a power cut that forgets what is loaded, and under another owner. */
  power: object = {};
  reign: object = {};
  readonly #actions: Family;
  #deck: Action[1][] = [];
  readonly #revive: (guest: RandomGuest) => void;
  /** Where requests go. */
  #carrier: Carrier;
  readonly #spoilsOneIn: number;
  /** Whether things go wrong on purpose in this step, and whether one just did. */
  #spoils = false;
  #spoilt = false;
  #bendsNext = false;
  /** Wrong secrets since the last start. */
  #failures = 0;
  /** Whether a command was refused because the TPM is out of service. */
  #inTrouble = false;
  /** Whether a session is opened for a command: it is that command that is to go wrong. */
  #opens = false;
  /** Whether there was no place for a session. */
  #isFull = false;

  constructor(
    mirror: Subject,
    seed: number,
    actions: Family,
    { revive = () => {}, spoilsOneIn = 4 }: Habits = {},
  ) {
    super(seed);
    this.mirror = mirror;
    this.#carrier = this.#direct;
    this.#revive = revive;
    this.#spoilsOneIn = spoilsOneIn;
    this.#actions = actions;
    this.client = new Tpm12Client(
      request => this.send(request),
      length => this.bytes(length),
    );
    this.start();
  }

  start(): void {
    this.attempt(() => this.client.run(commands.startup(STARTUP.CLEAR)));
  }

  /** One thing that a guest may do. Keys and sessions that it needs are opened on the way. */
  step(): void {
    try {
      this.#actOnce();
      this.#tidyUp();
    } catch (error) {
      if (!(error instanceof Departed)) throw error;
      this.#beGood();
      this.#forget();
      this.mirror.reunite();
      this.start();
    }
  }

  #actOnce(): void {
    this.#spoils = this.chance(this.#spoilsOneIn);
    this.#spoilt = false;
    const act = this.#draw();
    const locality = this.chance(12) ? this.below(LOCALITIES) : 0;
    this.attempt(() => this.from(locality, () => act(this)));
    this.#beGood();
  }

  #beGood(): void {
    this.#spoils = this.#spoilt = this.#bendsNext = false;
  }

  #tidyUp(): void {
    if (this.#failures >= FAILURES_MAX) this.repent();
    else if (this.chance(60)) this.powerCycle(this.chance(2));
    if (this.#isFull) this.attempt(() => this.client.run(raw.rawCommand('Reset', 0)));
    this.#isFull = false;
    if (!this.#inTrouble || this.chance(4)) return;
    this.#revive(this);
    this.#inTrouble = false;
  }

  /** The next of all actions, which come in an order of their own, each as often as it weighs. */
  #draw(): Action[1] {
    if (this.#deck.length === 0) {
      this.#deck = this.#actions.flatMap(([weight, act]) => new Array<Action[1]>(weight).fill(act));
    }
    const at = this.below(this.#deck.length);
    const last = this.#deck.pop()!;
    if (at === this.#deck.length) return last;
    const drawn = this.#deck[at]!;
    this.#deck[at] = last;
    return drawn;
  }

  /** Has wrong secrets forgotten before a lockout begins: by the owner, or by a restart. */
  repent(): void {
    const reset = raw.rawCommand('ResetLockValue', 0);
    const done = this.chance(2) && this.attempt(() => this.run(reset, [this.owner]));
    if (done) this.#failures = 0;
    else this.powerCycle(false);
  }

  /** Power off and on, without a start. What was loaded is gone. */
  cutPower(): void {
    this.#carrier = this.#direct;
    this.#forget();
    this.mirror.compareStates();
    this.mirror.powerCut();
  }

  /** Power off and on. @param keeps whether what is loaded is saved before, and restored */
  powerCycle(keeps: boolean): void {
    this.#carrier = this.#direct;
    if (keeps) this.attempt(() => this.client.run(commands.saveState()));
    else this.#forget();
    this.mirror.compareStates();
    this.mirror.powerCut();
    const type = keeps ? STARTUP.STATE : STARTUP.CLEAR;
    this.attempt(() => this.client.run(commands.startup(type)));
  }

  /** Takes note of a new owner: what the old one's SRK had wrapped is of no use any more. */
  succeed(owner: Uint8Array, srk: Uint8Array): void {
    this.owner = owner;
    this.srk = srk;
    this.reign = {};
    this.power = {};
  }

  /** Does something from another locality. */
  from<T>(locality: number, act: () => T): T {
    const before = this.mirror.locality;
    this.mirror.locality = locality;
    try {
      return act();
    } finally {
      this.mirror.locality = before;
    }
  }

  #forget(): void {
    this.#failures = 0;
    this.power = {};
    const { ownerAuth, srk } = this.mirror.permanent.data;
    // A request that went wrong may have worked: the guest sees to it that it knows the secrets.
    this.owner = ownerAuth;
    this.srk = srk.secret?.usageAuth ?? this.srk;
  }

  // What goes wrong on purpose.

  /** True now and then in a step that is to go wrong: the caller then does something wrong. */
  wrongly(of = 4): boolean {
    const wrong = this.#spoils && this.chance(of);
    if (wrong) this.#spoilt = true;
    return wrong;
  }

  /** Says that the next command is wrong, in a way of the caller's own. */
  beWrong(): void {
    this.#spoilt = true;
  }

  /** Runs `act`; undefined where the TPM refuses it. */
  attempt<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      if (error instanceof TpmResponseError || error instanceof TpmResponseFault) return undefined;
      throw error;
    }
  }

  readonly #direct: Carrier = (request, wellFormed) => this.mirror.transmit(request, wellFormed);

  /** Has every request go another way while `act` lasts: through a transport session. */
  through<T>(carrier: Carrier, act: () => T): T {
    const before = this.#carrier;
    this.#carrier = carrier;
    try {
      return act();
    } finally {
      this.#carrier = before;
    }
  }

  /** Every request of the guest goes this way. */
  readonly send = (request: Uint8Array): Uint8Array => {
    const opens = this.#opens;
    const bends = opens ? this.wrongly(12) : this.#bendsNext;
    const bent = bends ? bendRequest(this, request) : request;
    const response = this.#carrier(bent, !this.#spoilt || (opens && !bends));
    if (this.mirror.departed) throw new Departed();
    if (!opens) this.#spoilt = this.#bendsNext = false;
    const result = word(response, HEADER_CODE_AT);
    if (AUTH_FAILURES.includes(result)) this.#failures += 1;
    if (TROUBLES.includes(result)) this.#inTrouble = true;
    if (opens && result === RESULT.RESOURCES) this.#isFull = true;
    return response;
  };

  // Commands and sessions.

  /** Runs a command under secrets, each in an OIAP session of its own unless it has one. */
  run<T>(command: Command<T>, ...auths: readonly Auth[]): T {
    const once = (fault?: 'fault'): T => this.#once(command, auths, fault);
    if (auths.every(([, session]) => session === undefined)) this.#twin(command.ordinal, once);
    return once();
  }

  /** Runs the command that `build` makes for an OSAP session, which is authorised by that session. */
  runIn<T>(
    [type, value, secret]: Entity,
    build: (session: BoundSession, nonceOdd: Uint8Array) => Command<T>,
    { before = [], after = [] }: { before?: readonly Auth[]; after?: readonly Auth[] } = {},
  ): T {
    const once = (fault?: 'fault'): T => {
      const session = this.osap(type, value, secret);
      const nonceOdd = this.client.nonce();
      const auths: readonly Auth[] = [...before, [secret, session, nonceOdd], ...after];
      return this.#once(build(session, nonceOdd), auths, fault);
    };
    const { ordinal } = build(NO_SESSION, WRONG);
    this.#twin(ordinal, once);
    return once();
  }

  /** Runs a command that is made anew each time, with sessions of its own that are not OSAP's. */
  runAnew<T>(ordinal: number, make: () => readonly [Command<T>, ...(readonly Auth[])]): T {
    const once = (fault?: 'fault'): T => {
      const [command, ...auths] = make();
      return this.#once(command, auths, fault);
    };
    this.#twin(ordinal, once);
    return once();
  }

  /** Does the same with a fault in it first, where that was not often seen of this ordinal. */
  #twin(ordinal: number, once: (fault: 'fault') => unknown): void {
    const { malformed, wellFormed } = this.mirror.met.get(ordinal) ?? {
      malformed: 0,
      wellFormed: 0,
    };
    const enough = malformed > Math.min(wellFormed, TWINS_MAX);
    if (this.#spoils || enough || this.#failures > FAILURES_MAX || this.chance(8)) return;
    this.attempt(() => once('fault'));
    this.#spoilt = this.#bendsNext = false;
  }

  #once<T>(command: Command<T>, auths: readonly Auth[], must?: 'fault'): T {
    const fault = this.#fault(auths.length > 0, must === 'fault');
    if (fault === 'auths') return this.#send(command, this.#otherAuths(auths));
    if (fault === 'params') return this.#send(this.#bentCommand(command), auths);
    return this.#send(command, auths, fault);
  }

  /** What is to be wrong with a command, if anything. */
  #fault(authorised: boolean, must: boolean): Fault | undefined {
    if (!must && !this.wrongly(2)) return undefined;
    this.#spoilt = true;
    return this.pick(authorised ? FAULTS : PLAIN_FAULTS);
  }

  #send<T>(command: Command<T>, auths: readonly Auth[], fault?: Fault): T {
    const faulty = fault === undefined ? -1 : this.below(Math.max(auths.length, 1));
    const given = auths.map(([secret, session, nonceOdd = this.client.nonce()], at) => {
      const open = session ?? this.#open(() => this.client.openOiap());
      const wrong = at === faulty ? fault : undefined;
      const handle = wrong === 'session' ? NO_HANDLE : open.handle;
      const shared = wrong === 'secret' && open.shared !== undefined ? WRONG : open.shared;
      return {
        session: { ...open, handle, shared },
        secret: wrong === 'secret' ? WRONG : secret,
        nonceOdd,
        continueSession: this.chance(6),
      };
    });
    this.#bendsNext = fault === 'request';
    return given.length === 0
      ? this.client.run(command)
      : this.client.exchange(authorisedBy(command, given)).value;
  }

  /** One authorisation too many, or one too few. */
  #otherAuths(auths: readonly Auth[]): readonly Auth[] {
    return auths.length === 0 || (auths.length === 1 && this.chance(2))
      ? [...auths, [this.owner]]
      : auths.slice(1);
  }

  /** Other parameters or another handle, under HMACs that are right for them. */
  #bentCommand<T>(command: Command<T>): Command<T> {
    const { ordinal, handles = new Uint8Array(), params } = command;
    return handles.length > 0 && this.chance(3)
      ? { ...command, handles: bendBytes(this, handles) }
      : { ...command, params: bendParams(this, ordinal, params) };
  }

  #open<T>(act: () => T): T {
    this.#opens = true;
    try {
      return act();
    } finally {
      this.#opens = false;
    }
  }

  /** The owner, as whom a session is opened. */
  get asOwner(): Entity {
    return [ENTITY.OWNER, HANDLE.OWNER, this.owner];
  }

  oiap(): Session {
    return this.#open(() => this.client.openOiap());
  }

  /** An OSAP session, in which new secrets are hidden by XOR, or by AES. */
  osap(type: number, value: number, secret: Uint8Array): BoundSession {
    const scheme = this.chance(4) ? 'AES' : 'XOR';
    const wanted = type + (scheme === 'AES' ? ADIP_AES : 0);
    return { ...this.#open(() => this.client.openOsap(wanted, value, secret)), scheme };
  }

  /** A new secret as it travels in a session: the first of a command under its even nonce. */
  hidden(
    session: BoundSession,
    secret: Uint8Array,
    rolling: Uint8Array = session.nonceEven,
  ): Uint8Array {
    if (session.scheme === 'XOR') return encryptAuth(session, secret, rolling);
    const key = session.shared!.slice(0, AES_BYTES);
    return new Uint8Array(
      createCipheriv('aes-128-ctr', key, rolling.slice(0, AES_BYTES)).update(secret),
    );
  }
}
