/**
 * swtpm and our engine side by side: every request goes to both, and what swtpm drew at random is
 * given to ours, so that both must answer the same to the last byte and end in the same state.
 */
import { RandomFinder } from '../../scripts/transcripts/random.js';
import {
  frame,
  ORDINALS,
  ordinalName,
  RESOURCE,
  resultName,
  TAG,
} from '../../src/testing/guest/index.js';
import { concat, encode, u32 } from '../../src/wire/codec.js';
import { hex, toHex } from '../_files.js';
import type { Swtpm } from '../_swtpm.js';
import { type Difference, daaDraws, type Exchange, Replay } from './_replay.js';

const MICROSECONDS_PER_MS = 1000;

export class Mirror {
  readonly #theirs: Swtpm;
  readonly #ours: Replay;
  readonly #finder = new RandomFinder();
  readonly differences: Difference[] = [];
  /** How often each ordinal was met, and how often it was answered. */
  readonly met = new Map<number, { sent: number; answered: number }>();

  constructor(theirs: Swtpm, permall: Uint8Array) {
    const state = toHex(permall);
    this.#theirs = theirs;
    const clock = (): number => Math.floor(performance.now() * MICROSECONDS_PER_MS);
    this.#ours = new Replay({ startsFrom: state, endsWith: state, steps: [] }, clock);
  }

  readonly transmit = (request: Uint8Array): Uint8Array => {
    const response = this.#theirs.transmit(request);
    const result = word(response, 6);
    const steps = [this.#exchange(request, response)];
    // What is drawn in secret has to be known before ours can draw the same.
    if (result === 0 && daaDraws(request) !== undefined) steps.push(...this.#travel(request));
    this.#ours.learn(this.#theirs.permall()!);
    this.#ours.run(steps);
    this.differences.push(...this.#ours.differences.splice(0));
    const ordinal = word(request, 6);
    const counts = this.met.get(ordinal) ?? { sent: 0, answered: 0 };
    counts.sent += 1;
    if (result === 0) counts.answered += 1;
    this.met.set(ordinal, counts);
    return response;
  };

  #exchange(request: Uint8Array, response: Uint8Array): Exchange {
    const name = ordinalName(word(request, 6));
    return {
      what: `${name} ${toHex(request)}`,
      name,
      locality: 0,
      result: resultName(word(response, 6)),
      request: toHex(request),
      response: toHex(response),
      random: this.#finder.find(word(request, 6), response, request).random,
    };
  }

  /** Sends the DAA session of a request away, and fetches it back: a context tells what it holds. */
  #travel(request: Uint8Array): Exchange[] {
    const daa = encode(u32, RESOURCE.DAA);
    const save = concat(request.slice(10, 14), daa, new Uint8Array(16));
    const saved = this.#send(frame(TAG.RQU_COMMAND, ORDINALS.SaveContext, save));
    const context = hex(saved.response).slice(10);
    const load = concat(new Uint8Array(4), Uint8Array.of(1), context);
    return [saved, this.#send(frame(TAG.RQU_COMMAND, ORDINALS.LoadContext, load))];
  }

  #send(request: Uint8Array): Exchange {
    return this.#exchange(request, this.#theirs.transmit(request));
  }

  /** Cuts the power of both, and gives it back. */
  powerCut(): void {
    this.#theirs.restart();
    this.#ours.run([{ event: 'powerCut' }]);
  }

  /** Compares what both have stored. */
  compareStates(): void {
    for (const name of ['permall', 'savestate'] as const) {
      const recorded = toHex(this.#theirs[name]() ?? new Uint8Array());
      const ours = toHex(this.#ours.nvram.blobs.get(name) ?? new Uint8Array());
      if (ours !== recorded) this.differences.push({ what: name, recorded, ours });
    }
  }
}

const word = (bytes: Uint8Array, at: number): number => Buffer.from(bytes).readUInt32BE(at);
