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
  encryptAuth,
  raw,
  type Session,
  STARTUP,
  Tpm12Client,
  TpmResponseError,
  TpmResponseFault,
} from '../../../src/testing/guest/index.js';
import { random } from '../../tis/_random.js';
import { ownerSecret } from '../_states.js';
import { bendBytes, bendRequest } from './bends.js';

/** Something that a guest does, the more often against the others the greater its weight. */
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

const WRONG = new Uint8Array(20).fill(0xee);
const NO_HANDLE = 0x1234;
const AUTH_FAILURES = [0x01, 0x1d];
/** Past five a lockout begins. A step of the guest's fails two or three times at most. */
const FAILURES_MAX = 3;
/** The scheme of ADIP in an entity type (TPM Main Part 2, §4.3). */
const ADIP_AES = 0x0600;
const AES_BYTES = 16;

/** What a guest is before: two TPMs that are compared, or one that is attacked. */
export interface Subject {
  /** @param wellFormed whether nothing is wrong with the request on purpose */
  transmit(request: Uint8Array, wellFormed: boolean): Uint8Array;
  powerCut(): void;
  /** Compares what is stored, where there is something to compare it with. */
  compareStates(): void;
}

export interface GuestOptions {
  /** In one step of how many things go wrong on purpose. Default: 3. */
  readonly spoilsOneIn?: number;
}

export class RandomGuest {
  readonly mirror: Subject;
  readonly client: Tpm12Client;
  /** The secrets of the owner and of the SRK, as the guest knows them. */
  owner = ownerSecret();
  srk = new Uint8Array(20);
  /** Another object after every power cut that forgets what is loaded: see `Kept`. */
  power: object = {};
  readonly #below: (below: number) => number;
  readonly #actions: Family;
  readonly #weight: number;
  readonly #spoilsOneIn: number;
  /** Whether things go wrong on purpose in this step, and whether one just did. */
  #spoils = false;
  #spoilt = false;
  /** Wrong secrets since the last start. */
  #failures = 0;

  constructor(
    mirror: Subject,
    seed: number,
    actions: Family,
    { spoilsOneIn = 3 }: GuestOptions = {},
  ) {
    this.mirror = mirror;
    this.#spoilsOneIn = spoilsOneIn;
    this.#below = random(seed);
    this.#actions = actions;
    this.#weight = actions.reduce((sum, [weight]) => sum + weight, 0);
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
    this.#spoils = this.chance(this.#spoilsOneIn);
    this.#spoilt = false;
    const act = this.#draw();
    this.attempt(() => act(this));
    this.#spoils = false;
    this.#spoilt = false;
    if (this.#failures >= FAILURES_MAX) this.#repent();
    else if (this.chance(60)) this.powerCycle(this.chance(2));
  }

  #draw(): Action[1] {
    let at = this.below(this.#weight);
    for (const [weight, act] of this.#actions) {
      at -= weight;
      if (at < 0) return act;
    }
    throw new RangeError('the weights do not sum up');
  }

  /** Forgets wrong secrets before a lockout begins: the owner resets them, or a restart does. */
  #repent(): void {
    const reset = raw.rawCommand('ResetLockValue', 0);
    const done = this.chance(2) && this.attempt(() => this.run(reset, [this.owner]));
    if (done) this.#failures = 0;
    else this.powerCycle(false);
  }

  /** Power off and on. @param keeps whether what is loaded is saved before, and restored */
  powerCycle(keeps: boolean): void {
    if (keeps) this.attempt(() => this.client.run(commands.saveState()));
    else this.#forget();
    this.mirror.compareStates();
    this.mirror.powerCut();
    const type = keeps ? STARTUP.STATE : STARTUP.CLEAR;
    this.attempt(() => this.client.run(commands.startup(type)));
  }

  #forget(): void {
    this.#failures = 0;
    this.power = {};
  }

  // Draws.

  below(limit: number): number {
    return this.#below(limit);
  }

  chance(of: number): boolean {
    return this.#below(of) === 0;
  }

  /** One of a list; undefined of an empty one. */
  pick<T>(list: readonly [T, ...(readonly T[])]): T;
  pick<T>(list: readonly T[]): T | undefined;
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.#below(Math.max(list.length, 1))];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#below(256));
  }

  // What goes wrong on purpose.

  /** True now and then in a step that is to go wrong: the caller then does something wrong. */
  wrongly(of = 4): boolean {
    const wrong = this.#spoils && this.chance(of);
    if (wrong) this.#spoilt = true;
    return wrong;
  }

  /** A secret, or now and then a wrong one. */
  secret(right: Uint8Array): Uint8Array {
    return this.wrongly(8) ? WRONG : right;
  }

  /** A handle, or now and then one that nothing has. */
  handle(right: number): number {
    return this.wrongly(10) ? NO_HANDLE : right;
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

  /** Every request of the guest goes this way. */
  readonly send = (request: Uint8Array): Uint8Array => {
    const bent = this.wrongly(12) ? bendRequest(this, request) : request;
    const response = this.mirror.transmit(bent, !this.#spoilt);
    if (!SESSIONS.has(Buffer.from(bent).readUInt32BE(6))) this.#spoilt = false;
    if (AUTH_FAILURES.includes(Buffer.from(response).readUInt32BE(6))) this.#failures += 1;
    return response;
  };

  // Commands and sessions.

  /** Runs a command under secrets, each in an OIAP session of its own unless it has one. */
  run<T>(command: Command<T>, ...auths: readonly Auth[]): T {
    if (this.wrongly(12)) return this.#run(command, this.#otherAuths(auths));
    if (this.wrongly(4)) return this.#run(this.#bentCommand(command), auths);
    return this.#run(command, auths);
  }

  #run<T>(command: Command<T>, auths: readonly Auth[]): T {
    const given = auths.map(([secret, session, nonceOdd = this.client.nonce()]) => {
      const open = session ?? this.client.openOiap();
      return {
        session: { ...open, handle: this.handle(open.handle) },
        secret: this.secret(secret),
        nonceOdd,
        continueSession: this.chance(6),
      };
    });
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
    const { handles = new Uint8Array(), params } = command;
    return handles.length > 0 && this.chance(3)
      ? { ...command, handles: bendBytes(this, handles) }
      : { ...command, params: bendBytes(this, params) };
  }

  /** An OSAP session, in which new secrets are hidden by XOR, or by AES. */
  osap(type: number, value: number, secret: Uint8Array): BoundSession {
    const scheme = this.chance(4) ? 'AES' : 'XOR';
    const wanted = type + (scheme === 'AES' ? ADIP_AES : 0);
    return { ...this.client.openOsap(wanted, value, this.secret(secret)), scheme };
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

/** What only opens a session: the command that it is opened for is still to go wrong. */
const SESSIONS: ReadonlySet<number> = new Set([0x0a, 0x0b, 0x11]);

/** What a guest keeps of one kind, for as long as it lives or until the power goes. */
export class Kept<T> {
  readonly #lists = new WeakMap<object, T[]>();
  readonly #of: (guest: RandomGuest) => object;

  constructor(until: 'for good' | 'until the power goes') {
    this.#of = guest => (until === 'for good' ? guest : guest.power);
  }

  of(guest: RandomGuest): T[] {
    const owner = this.#of(guest);
    const list = this.#lists.get(owner) ?? [];
    this.#lists.set(owner, list);
    return list;
  }

  /** The latest are kept, `max` of them at most. */
  keep(guest: RandomGuest, item: T, max = 12): void {
    const list = this.of(guest);
    list.push(item);
    if (list.length > max) list.shift();
  }

  pick(guest: RandomGuest): T | undefined {
    return guest.pick(this.of(guest));
  }

  drop(guest: RandomGuest, item: T): void {
    const list = this.of(guest);
    const at = list.indexOf(item);
    if (at >= 0) list.splice(at, 1);
  }
}
