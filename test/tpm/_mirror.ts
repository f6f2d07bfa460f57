/**
 * swtpm and our engine side by side: every request goes to both, and what swtpm drew at random is
 * given to ours, so that both must answer the same to the last byte and end in the same state.
 */
import { RandomFinder } from '../../scripts/transcripts/random.js';
import { ordinalName, resultName } from '../../src/testing/guest/index.js';
import { toHex } from '../_files.js';
import type { Swtpm } from '../_swtpm.js';
import { type Difference, Replay } from './_replay.js';

const MICROSECONDS_PER_MS = 1000;

/** How an ordinal was met: how often with a request as it should be, and how often with another. */
export interface Met {
  wellFormed: number;
  malformed: number;
  /** How many of the well-formed ones succeeded. */
  succeeded: number;
  /** Every result code that came. */
  readonly results: Set<number>;
}

export class Mirror {
  readonly #theirs: Swtpm;
  readonly #ours: Replay;
  readonly #finder = new RandomFinder();
  readonly differences: Difference[] = [];
  /** How each ordinal was met. */
  readonly met = new Map<number, Met>();

  constructor(theirs: Swtpm, permall: Uint8Array) {
    const state = toHex(permall);
    this.#theirs = theirs;
    const clock = (): number => Math.floor(performance.now() * MICROSECONDS_PER_MS);
    this.#ours = new Replay({ startsFrom: state, endsWith: state, steps: [] }, clock);
  }

  readonly transmit = (request: Uint8Array, wellFormed = true): Uint8Array => {
    const response = this.#theirs.transmit(request);
    const ordinal = word(request, 6);
    const { random } = this.#finder.find(ordinal, response);
    this.#ours.learn(this.#theirs.permall()!);
    this.#ours.run([
      {
        what: `${ordinalName(ordinal)} ${toHex(request)}`,
        name: ordinalName(ordinal),
        locality: 0,
        result: resultName(word(response, 6)),
        request: toHex(request),
        response: toHex(response),
        random,
      },
    ]);
    this.differences.push(...this.#ours.differences.splice(0));
    this.#count(ordinal, wellFormed, word(response, 6));
    return response;
  };

  #count(ordinal: number, wellFormed: boolean, result: number): void {
    const row = this.met.get(ordinal) ?? {
      wellFormed: 0,
      malformed: 0,
      succeeded: 0,
      results: new Set(),
    };
    this.met.set(ordinal, row);
    row.results.add(result);
    if (!wellFormed) row.malformed += 1;
    else row.wellFormed += 1;
    if (wellFormed && result === 0) row.succeeded += 1;
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
