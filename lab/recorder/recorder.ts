/**
 * Drives a reference TPM with the guest's client and writes down what was said. A scenario does not know what
 * the answers will be: the recording is the reference, and refusals are recorded like successes.
 * @module
 */
import { createHash } from 'node:crypto';
import {
  type AuthorisedTwice,
  authorised,
  authorisedBy,
  type Command,
  commands,
  ENTITY,
  encryptAuth,
  HANDLE,
  type NvDataPublic,
  plain,
  type Session,
  secretOf,
  Tpm12Client,
  TpmResponseError,
  TpmResponseFault,
  WELL_KNOWN_SECRET,
} from '../../src/guest/index.js';
import { randomIn } from '../scenarios/random.js';
import type { Start, Step, Transcript } from './transcript.js';

/** The owner of every TPM that is owned in a transcript, its SRK and its NV indices. */
export const OWNER = secretOf('transcript owner');
export const SRK = WELL_KNOWN_SECRET;
export const AREA = secretOf('transcript nv area');
export const WRONG = secretOf('not the secret');

export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly from: Start;
  run(tpm: Recorder): void;
}
export const scenario = (
  name: string,
  from: Scenario['from'],
  about: string,
  run: Scenario['run'],
): Scenario => ({ name, from, about, run });

/** The TPM that is recorded. */
export interface Reference {
  transmit(request: Uint8Array): Uint8Array;
  powerCut(): void;
  /** A measured launch. */
  hash(data: Uint8Array): void;
  setLocality(locality: number): void;
  /** From now on, whether it cannot store its permall. */
  storesFail(value: boolean): void;
  /** Ends it. @returns its last permall */
  finish(): Uint8Array;
}

export interface AuthOptions {
  readonly session?: Session | undefined;
  readonly goOn?: boolean;
  readonly nonceOdd?: Uint8Array;
}

export class Recorder {
  readonly #tpm: Reference;
  readonly #steps: Step[] = [];
  readonly #client: Tpm12Client;
  #what = '';
  #locality = 0;

  constructor(seed: string, tpm: Reference) {
    this.#tpm = tpm;
    this.#client = new Tpm12Client(request => this.#transmit(request), counting(seed));
  }

  /** Sends a plain command. Gives its value, or undefined where the TPM refused it. */
  do<T>(what: string, command: Command<T>): T | undefined {
    return this.#attempt(what, client => client.exchange(plain(command)));
  }

  /** Sends a command under `secret`: in `session`, or in an OIAP session of its own. */
  auth<T>(
    what: string,
    command: Command<T>,
    secret: Uint8Array,
    { session = this.oiap(`a session: ${what}`), goOn = false, nonceOdd }: AuthOptions = {},
  ): { value: T | undefined; session: Session | undefined } {
    const none = { value: undefined, session: undefined };
    if (session === undefined) return none;
    const exchange = authorised(command, {
      session,
      secret,
      nonceOdd: nonceOdd ?? this.#client.nonce(),
      continueSession: goOn,
    });
    return this.#attempt(what, client => client.exchange(exchange)) ?? none;
  }

  /** Sends a command under two secrets, each in its session or in an OIAP session of its own. */
  auth2<T>(
    what: string,
    command: Command<T>,
    ...auths: readonly { secret: Uint8Array; session?: Session | undefined; goOn?: boolean }[]
  ): AuthorisedTwice<T> | undefined {
    const given = auths.flatMap(({ secret, session = this.oiap(`a session: ${what}`), goOn }) =>
      session === undefined
        ? []
        : [{ session, secret, nonceOdd: this.#client.nonce(), continueSession: goOn ?? false }],
    );
    if (given.length < auths.length) return undefined;
    return this.#attempt(what, client => client.exchange(authorisedBy(command, given)));
  }

  oiap(what: string): Session | undefined {
    return this.#attempt(what, client => client.openOiap());
  }

  osap(what: string, type: number, value: number, secret: Uint8Array): Session | undefined {
    return this.#attempt(what, client => client.openOsap(type, value, secret));
  }

  /** TPM_NV_DefineSpace by the owner, in an OSAP session of its own. The area's secret is AREA. */
  define(what: string, pub: NvDataPublic, owner = OWNER): void {
    const session = this.osap(`a session: ${what}`, ENTITY.OWNER, HANDLE.OWNER, owner);
    if (session === undefined) return;
    this.auth(what, commands.nvDefineSpace(pub, encryptAuth(session, AREA)), owner, { session });
  }

  /** Whatever the client does on its own way, under one description. */
  as<T>(what: string, act: (client: Tpm12Client) => T): T | undefined {
    return this.#attempt(what, act);
  }

  /** Sends bytes that need not be a command. */
  raw(what: string, request: Uint8Array): void {
    this.#what = what;
    this.#transmit(request);
  }

  nonce(): Uint8Array {
    return this.#client.nonce();
  }

  powerCut(): void {
    this.#tpm.powerCut();
    this.#locality = 0;
    this.#steps.push({ event: 'powerCut' });
  }

  hash(data: Uint8Array): void {
    this.#tpm.hash(data);
    this.#steps.push({ event: 'hash', data: toHex(data) });
  }

  locality(locality: number): void {
    this.#tpm.setLocality(locality);
    this.#locality = locality;
  }

  storesFail(value: boolean): void {
    this.#tpm.storesFail(value);
    this.#steps.push({ event: 'storesFail', value });
  }

  /** Ends the TPM. @returns the exchanges, and its last state */
  finish(): Pick<Transcript, 'steps' | 'endsWith'> {
    return { steps: this.#steps, endsWith: toHex(this.#tpm.finish()) };
  }

  #attempt<T>(what: string, act: (client: Tpm12Client) => T): T | undefined {
    this.#what = what;
    try {
      return act(this.#client);
    } catch (error) {
      if (error instanceof TpmResponseError) return undefined;
      if (!(error instanceof TpmResponseFault)) throw error;
      // The reference itself may answer in a way that a guest would not accept. It is recorded too.
      console.log(`  ${what}: ${error.message}`);
      return undefined;
    }
  }

  #transmit(request: Uint8Array): Uint8Array {
    const response = this.#tpm.transmit(request);
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const ordinal = view.getUint32(6);
    const random = randomIn(ordinal, response, request);
    this.#steps.push({
      what: this.#what,
      locality: this.#locality,
      request: toHex(request),
      response: toHex(response),
      random,
    });
    return response;
  }
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Nonces of the guest that are the same in every recording of a scenario. */
function counting(seed: string): (length: number) => Uint8Array {
  let count = 0;
  return length => {
    const block = createHash('sha256')
      .update(`${seed} ${(count += 1)}`)
      .digest();
    return new Uint8Array(block.subarray(0, length));
  };
}
