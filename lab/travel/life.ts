/**
 * The life of a TPM at random, up to the moment at which its state travels: what is done is drawn
 * from a seed. Unlike the guests of the differential it means to succeed, and remembers what it made
 * so that the same can be asked of the TPM elsewhere: secrets, keys, sessions, contexts, blobs.
 */
import {
  authorisedBy,
  type Command,
  commands,
  encryptAuth,
  PRESENCE,
  type Session,
  STARTUP,
  Tpm12Client,
  TpmResponseError,
  TpmResponseFault,
  type Transmit,
} from '../../src/guest/index.js';
import { ownerSecret } from '../reference/states.js';
import { random } from '../tis/random.js';
import type { States, Subject } from './subject.js';

/** A key that is loaded. */
export interface HeldKey {
  readonly handle: number;
  readonly secret: Uint8Array;
  readonly wrapped: Uint8Array;
  readonly storage: boolean;
  /** Whether the owner keeps it over power cycles. */
  kept: boolean;
}
/** A session that stays open, and what it is for. */
export interface HeldSession {
  readonly session: Session;
  readonly to: 'anything' | 'the owner' | 'a key' | 'an NV index' | 'a counter';
  /** The key, NV index or counter. */
  readonly target: number;
}
/** What left the TPM, and the entity that a session is to. */
export interface HeldContext {
  readonly blob: Uint8Array;
  readonly entity: number;
  readonly to: HeldSession['to'];
}
export interface HeldIndex {
  readonly index: number;
  readonly size: number;
  readonly attributes: number;
}
/** A delegation, and the key that it is for where it is not for the owner. */
export interface HeldBlob {
  readonly blob: Uint8Array;
  readonly key: number | undefined;
}

export type Auth = readonly [secret: Uint8Array, session?: Session | undefined];

/** The secret of everything but owner and SRK. */
export const SECRET: Uint8Array = new Uint8Array(20).fill(0x4b);
export const WRONG = new Uint8Array(20).fill(0xee);

/** What there is of a TPM in the beginning. */
export type Beginning = 'new' | 'endorsed' | 'owned';

export class Life {
  #subject: Subject;
  readonly below: (below: number) => number;
  client: Tpm12Client;
  /** The owner's secret; undefined where there is no owner. */
  owner: Uint8Array | undefined;
  srk: Uint8Array = new Uint8Array(20);
  operator: Uint8Array | undefined;
  ekReset: Uint8Array | undefined;
  wrapped: { blob: Uint8Array; storage: boolean; parent: number }[] = [];
  keys: HeldKey[] = [];
  sessions: HeldSession[] = [];
  transports: number[] = [];
  indices: HeldIndex[] = [];
  counters: number[] = [];
  contexts: HeldContext[] = [];
  families: number[] = [];
  blobs: HeldBlob[] = [];

  constructor(subject: Subject, seed: number, beginning: Beginning) {
    this.#subject = subject;
    this.below = random(seed);
    this.client = this.#clientOf(subject.transmit);
    if (beginning === 'owned') this.owner = ownerSecret();
    this.#start(STARTUP.CLEAR);
  }

  #clientOf(transmit: Transmit): Tpm12Client {
    return new Tpm12Client(transmit, length => this.bytes(length));
  }

  get subject(): Subject {
    return this.#subject;
  }

  /** Goes on, with all that it knows, in front of another TPM, or of two. */
  moveTo({ transmit }: { readonly transmit: Transmit }): void {
    this.client = this.#clientOf(transmit);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  chance(of: number): boolean {
    return this.below(of) === 0;
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[this.below(Math.max(list.length, 1))];
  }

  /** Does something, and goes on where the TPM refuses it. */
  try<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      if (error instanceof TpmResponseError || error instanceof TpmResponseFault) return undefined;
      throw error;
    }
  }

  /** Runs a command under secrets, each in an OIAP session of its own unless it has one. */
  run<T>(command: Command<T>, ...auths: readonly Auth[]): T {
    if (auths.length === 0) return this.client.run(command);
    const given = auths.map(([secret, session]) => ({
      session: session ?? this.client.openOiap(),
      secret,
      nonceOdd: this.client.nonce(),
    }));
    return this.client.exchange(authorisedBy(command, given)).value;
  }

  /** Runs a command in a session that goes on, which is then kept as it is after it. */
  runIn<T>(held: HeldSession, command: Command<T>, secret: Uint8Array): void {
    this.sessions = this.sessions.filter(one => one !== held);
    const auth = {
      session: held.session,
      secret,
      nonceOdd: this.client.nonce(),
      continueSession: true,
    };
    const [session] = this.client.exchange(authorisedBy(command, [auth])).sessions;
    if (session !== undefined) this.sessions.push({ ...held, session });
  }

  /** Runs a command with a new secret in it, in an OSAP session. */
  runWith<T>(
    [type, value]: readonly [type: number, value: number],
    secret: Uint8Array,
    command: (hidden: Uint8Array, second: Uint8Array) => Command<T>,
  ): T {
    const session = this.client.openOsap(type, value, secret);
    const nonceOdd = this.client.nonce();
    const asked = command(encryptAuth(session, SECRET), encryptAuth(session, SECRET, nonceOdd));
    return this.client.exchange(authorisedBy(asked, [{ session, secret, nonceOdd }])).value;
  }

  /** Runs a command as the owner, where there is one. */
  asOwner<T>(command: Command<T>): T | undefined {
    const { owner } = this;
    return owner === undefined ? undefined : this.try(() => this.run(command, [owner]));
  }

  secretOf(handle: number): Uint8Array {
    return this.keys.find(key => key.handle === handle)?.secret ?? this.srk;
  }

  /** Asserts physical presence. */
  bePresent(): void {
    this.try(() => this.run(commands.physicalPresence(PRESENCE.CMD_ENABLE)));
    this.try(() => this.run(commands.physicalPresence(PRESENCE.PRESENT)));
  }

  /** A wrong secret, which the TPM counts. */
  fail(): void {
    this.try(() => this.run(commands.ownerReadInternalPub(0x4000_0006), [WRONG]));
  }

  powerCycle(keeps: boolean): void {
    if (keeps) this.try(() => this.run(commands.saveState()));
    else this.forgetVolatile();
    this.#subject.powerCut();
    this.#start(keeps ? STARTUP.STATE : STARTUP.CLEAR);
  }

  #start(type: number): void {
    this.try(() => this.run(commands.startup(type)));
  }

  forgetVolatile(): void {
    this.keys = this.keys.filter(({ kept }) => kept);
    this.sessions = [];
    this.transports = [];
  }

  /** There is no owner any more, and nothing that was the owner's. */
  forgetOwner(): void {
    this.owner = undefined;
    this.operator = undefined;
    this.srk = new Uint8Array(20);
    this.keys = [];
    this.wrapped = [];
    this.counters = [];
    this.families = [];
    this.forgetVolatile();
  }

  states(): States {
    return this.#subject.states();
  }
}
