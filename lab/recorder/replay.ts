/**
 * Runs a transcript that was recorded from swtpm against our engine. What the recorded TPM drew at
 * random is given to ours as its entropy, and its keys as ours, so that responses are the same to
 * the last byte, HMACs included; and so is the permanent state at the end.
 */
import { key11, pubKey } from '../../src/guest/structures.js';
import type { GenerateKey } from '../../src/tpm/crypto/rsa-keys.js';
import type { Clock } from '../../src/tpm/engine.js';
import type { DaaSession } from '../../src/tpm/tpm12/state/daa-session.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import type { Permanent } from '../../src/tpm/tpm12/state/permanent.js';
import { Tpm12 } from '../../src/tpm/tpm12/tpm12.js';
import { equal, Reader } from '../../src/wire/codec.js';
import { hex, toHex } from '../files.js';
import { MemoryNvram } from '../reference/memory-nvram.js';
import { type Made, Oracle } from '../reference/oracle.js';
import { type Event, nameOf, type Exchange as Recorded, type Transcript } from './transcript.js';

/** An exchange as it is replayed; through a transport session perhaps. */
export interface Exchange extends Recorded {
  /** The command that went through a transport session, and its response, both in clear. */
  readonly inner?: Said | undefined;
}
type Said = Pick<Recorded, 'request' | 'response' | 'random'>;
export type Step = Exchange | Event;

/** What came out otherwise than recorded. */
export interface Difference {
  readonly what: string;
  readonly recorded: string;
  readonly ours: string;
}

const HEADER_BYTES = 10;

const MAKES_EK = ['TPM_CreateEndorsementKeyPair', 'TPM_CreateRevocableEK'];

/** TPM_SET_PERM_DATA, TPM_PD_DAAPROOF. */
const SETS_DAA_PROOF = hex('00000002 00000004 00000019');

type DaaDraws = (session: DaaSession) => Uint8Array[];

const SEED: DaaDraws = ({ context }) => [context.contextSeed];

/** What is drawn at a stage of TPM_DAA_Join (29) and of TPM_DAA_Sign (31), and never shown. */
const DAA_DRAWS: Readonly<Record<string, DaaDraws>> = {
  '29 3': ({ join }) => [join.u0, join.u1],
  '29 9': SEED,
  '31 2': SEED,
};

/** What a request makes a TPM draw for a DAA session, where it does. */
export function daaDraws(request: Uint8Array): DaaDraws | undefined {
  const view = new DataView(request.buffer, request.byteOffset, request.length);
  if (request.length <= DAA_STAGE_AT) return undefined;
  return DAA_DRAWS[`${view.getUint32(ORDINAL_AT).toString(16)} ${request[DAA_STAGE_AT]}`];
}

const [ORDINAL_AT, DAA_STAGE_AT] = [6, 14];

/** The modulus that a response shows of a key that was just made. */
function modulusOf(name: string, response: Uint8Array): Uint8Array | undefined {
  const output = new Reader(response.slice(HEADER_BYTES));
  if (output.left === 0) return undefined;
  if (MAKES_EK.includes(name)) return pubKey.read(output).modulus;
  return name === 'TPM_TakeOwnership' ? key11.read(output).modulus : undefined;
}

/** The random bytes that a response shows. A modulus comes out of the key, and not of the entropy. */
const shownIn = (random: Exchange['random'], recorded: Uint8Array): Uint8Array[] =>
  random
    .filter(({ field }) => field !== 'modulus')
    .map(({ offset, length }) => recorded.slice(offset, offset + length));

export class Replay {
  readonly nvram = new MemoryNvram();
  readonly differences: Difference[] = [];
  readonly tpm: Tpm12;
  /** A later state, from which secrets come that no response shows. */
  #final: Permanent;
  readonly #oracle = new Oracle();
  #made: Made | undefined;
  #draws: Uint8Array[] = [];
  /** What is drawn once the clock was read: by then a wrapped command is over. */
  #drawsLater: Uint8Array[] | undefined;
  readonly #contextNonces = new Set<string>();
  #poweringOn = false;
  /** Responses that were heard before they are due. */
  #heard: Uint8Array[] = [];
  /** The nonce of this power cycle's ticks: who learns it later may still set it. */
  tickNonce: Uint8Array = new Uint8Array(20);
  #modulus: Uint8Array = new Uint8Array(256).fill(0xc5);
  #counter = 0;
  #clock = 0;

  constructor(
    { startsFrom, endsWith, steps }: Pick<Transcript, 'startsFrom' | 'endsWith' | 'steps'>,
    clock: Clock = () => (this.#clock += 1000),
  ) {
    this.#final = decodePermall(hex(endsWith));
    this.#oracle.learn(this.#final);
    if (startsFrom !== null) this.#oracle.learn(decodePermall(hex(startsFrom)));
    // Keys that are never wrapped show in their contexts only, which may come later.
    for (const step of steps) {
      if (step.event === undefined) this.#oracle.find(hex(step.response));
    }
    if (startsFrom !== null) this.nvram.blobs.set('permall', hex(startsFrom));
    this.tpm = new Tpm12({
      entropy: length => this.#draw(length),
      clock: () => this.#tick(clock),
      generateKey: this.#key,
    });
    this.#powerOn();
  }

  #tick(clock: Clock): number {
    if (this.#drawsLater !== undefined) this.#draws = this.#drawsLater;
    this.#drawsLater = undefined;
    return clock();
  }

  #powerOn(): void {
    this.#draws = [];
    this.#poweringOn = true;
    this.tpm.init(this.nvram);
    this.#poweringOn = false;
  }

  /** Powers on with a state of another TPM. */
  restart(permall: Uint8Array, savestate: Uint8Array | undefined): void {
    this.learn(permall);
    this.nvram.blobs.set('permall', permall);
    this.nvram.blobs.delete('savestate');
    if (savestate !== undefined) this.nvram.blobs.set('savestate', savestate);
    this.#powerOn();
  }

  /** Takes up the keys and secrets that a response tells of, before it is due. */
  hear(response: Uint8Array): void {
    this.#oracle.find(response);
    this.#heard.push(response);
  }

  /** Takes up the secrets of a state that is recorded as the steps go on. */
  learn(permall: Uint8Array): void {
    this.#final = decodePermall(permall);
    this.#oracle.learn(this.#final);
  }

  run(steps: readonly Step[]): void {
    for (const [at, step] of steps.entries()) {
      if (step.event === undefined) this.#exchange(step, steps.slice(at + 1));
      else if (step.event === 'powerCut') this.#powerOn();
      else if (step.event === 'storesFail') this.nvram.storesFail = step.value;
      else this.#hash(hex(step.data));
    }
  }

  #hash(data: Uint8Array): void {
    this.tpm.hashStart();
    this.tpm.hashData(data);
    this.tpm.hashEnd();
  }

  #exchange({ what, locality, inner, ...outer }: Exchange, later: readonly Step[]): void {
    const { request, response } = outer;
    this.#made = undefined;
    // What a session is wrapped around draws first; how much is unknown where it is refused.
    const drawn = this.#drawn(inner ?? outer);
    this.#draws = [...this.#daa(hex(request), later), ...drawn];
    if (inner !== undefined) this.#drawsLater = shownIn(outer.random, hex(response));
    const ours = toHex(this.tpm.process(hex(request), locality));
    this.#drawsLater = undefined;
    if (ours !== response) this.differences.push({ what, recorded: response, ours });
  }

  /** What another TPM drew for a command, in the order in which ours does. */
  #drawn({ request, response, random }: Said): Uint8Array[] {
    const name = nameOf({ request });
    const recorded = hex(response);
    this.#modulus = modulusOf(name, recorded) ?? this.#modulus;
    const { seeds, made, contextNonce } = this.#oracle.find(recorded);
    this.#made = made;
    const drawn = contextNonce === undefined ? seeds : [...this.#first(contextNonce), ...seeds];
    return [...this.#hidden(name, hex(request)), ...drawn, ...shownIn(random, recorded)];
  }

  /** The nonce of contexts, where it is a new one: it is drawn once, for all that follow. */
  #first(contextNonce: Uint8Array): Uint8Array[] {
    const known = this.#contextNonces.has(toHex(contextNonce));
    this.#contextNonces.add(toHex(contextNonce));
    return known ? [] : [contextNonce];
  }

  /** What a command draws before its response does, and never shows. */
  #hidden(name: string, request: Uint8Array): Uint8Array[] {
    const { data } = this.#final;
    const daa = name === 'TPM_SetCapability' && equal(request.slice(10, 22), SETS_DAA_PROOF);
    if (MAKES_EK.includes(name) || name === 'TPM_RevokeTrust' || daa) {
      return [data.tpmDAASeed, data.daaProof, data.daaBlobKey.key];
    }
    if (name === 'TPM_TakeOwnership') {
      return [data.tpmProof, data.contextKey.key, data.delegateKey.key];
    }
    return [];
  }

  /** What a stage of DAA draws and keeps for itself: its session tells, once it left as a context. */
  #daa(request: Uint8Array, later: readonly Step[]): Uint8Array[] {
    const before = this.#heard.splice(0);
    const draws = daaDraws(request);
    if (draws === undefined) return [];
    const due = later.flatMap(step => (step.event === undefined ? [hex(step.response)] : []));
    const told = [...before, ...due].map(response => this.#oracle.daaSession(response));
    const session = told.find(one => one !== undefined);
    return session === undefined ? [] : draws(session);
  }

  #draw(length: number): Uint8Array {
    const at = this.#draws.findIndex(draw => draw.length === length);
    if (at >= 0) return this.#draws.splice(at, 1)[0]!.slice();
    this.#counter += 1;
    const drawn = new Uint8Array(length).fill(this.#counter % 256);
    if (this.#poweringOn) this.tickNonce = drawn;
    return drawn;
  }

  readonly #key: GenerateKey = () => {
    // The TPM overwrites what it was given when a key goes: it has copies.
    if (this.#made !== undefined) {
      return { modulus: this.#made.modulus.slice(), prime: this.#made.prime.slice() };
    }
    const { endorsementKey, srk } = this.#final.data;
    const same = [endorsementKey, srk].find(
      ({ pubKey }) => Buffer.compare(pubKey, this.#modulus) === 0,
    );
    // The prime of a key that was gone at the end is not known, and was not used.
    const prime = same?.secret?.prime ?? new Uint8Array(128).fill(0xc5);
    return { modulus: this.#modulus.slice(), prime: prime.slice() };
  };
}
