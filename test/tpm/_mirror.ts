/**
 * swtpm and our engine side by side: every request goes to both, and what swtpm drew at random is
 * given to ours, so that both must answer the same to the last byte and end in the same state.
 */
import { RandomFinder } from '../../scripts/transcripts/random.js';
import { clock } from '../../src/cli/images.js';
import { ordinalName, resultName } from '../../src/testing/guest/index.js';
import { equal } from '../../src/wire/codec.js';
import { toHex } from '../_files.js';
import type { Swtpm } from '../_swtpm.js';
import { type Difference, Replay } from './_replay.js';

export class Mirror {
  readonly #theirs: Swtpm;
  readonly #ours: Replay;
  #permall: Uint8Array;
  readonly #finder = new RandomFinder();
  readonly differences: Difference[] = [];
  /** How often each ordinal was met, and how often it was answered. */
  readonly met = new Map<number, { sent: number; answered: number }>();

  /** Both are powered on with `permall`, and with what TPM_SaveState kept where there is that. */
  constructor(theirs: Swtpm, permall: Uint8Array, savestate?: Uint8Array) {
    const state = toHex(permall);
    this.#theirs = theirs;
    this.#permall = permall;
    this.#ours = new Replay({ startsFrom: state, endsWith: state, steps: [] }, clock);
    if (savestate !== undefined) this.#ours.nvram.blobs.set('savestate', savestate);
  }

  readonly transmit = (request: Uint8Array): Uint8Array => {
    const response = this.#theirs.transmit(request);
    const ordinal = word(request, 6);
    const { random } = this.#finder.find(ordinal, response);
    this.#learn();
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
    const counts = this.met.get(ordinal) ?? { sent: 0, answered: 0 };
    counts.sent += 1;
    if (word(response, 6) === 0) counts.answered += 1;
    this.met.set(ordinal, counts);
    return response;
  };

  #learn(): void {
    const permall = this.#theirs.permall()!;
    if (equal(permall, this.#permall)) return;
    this.#permall = permall;
    this.#ours.learn(permall);
  }

  /** A measured launch of both. */
  hash(data: Uint8Array): void {
    this.#theirs.hash(data);
    this.#ours.run([{ event: 'hash', data: toHex(data) }]);
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
