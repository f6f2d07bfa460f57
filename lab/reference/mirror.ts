/**
 * swtpm and our engine side by side: every request goes to both, and what swtpm drew at random is
 * given to ours, so that both must answer the same to the last byte and end in the same state. What
 * only a clock knows is given too: the ticks that swtpm shows are those that our clock then shows.
 */
import {
  type Command,
  ORDINALS,
  ordinalName,
  plain,
  RESOURCE,
  raw,
} from '../../src/guest/index.js';
import { systemClock as hostTime } from '../../src/system.js';
import { decodePermall } from '../../src/tpm/tpm12/state/permall.js';
import type { Permanent } from '../../src/tpm/tpm12/state/permanent.js';
import { equal } from '../../src/wire/codec.js';
import { hex, toHex, word } from '../files.js';
import type { Inner } from '../guests/subject.js';
import type { Swtpm } from '../peers/swtpm.js';
import { type Difference, daaDraws, Replay } from '../recorder/replay.js';
import { ephemeralHandle, randomIn } from '../scenarios/random.js';
import { departureOf, departureOfSaved } from './departures.js';

/** How an ordinal was met: how often with a request as it should be, and how often with another. */
export interface Met {
  wellFormed: number;
  malformed: number;
  /** How many of the well-formed ones succeeded. */
  succeeded: number;
  /** Every result code that came. */
  readonly results: Set<number>;
}

/** Where a response shows ticks, and where the nonce of the power cycle beside them. */
// biome-ignore format: table
const TICKS: ReadonlyMap<number, { ticks: number; nonce?: number }> = new Map([
  [ORDINALS.GetTicks,               { ticks: 12, nonce: 22 }],
  [ORDINALS.TickStampBlob,          { ticks: 12, nonce: 22 }],
  [ORDINALS.EstablishTransport,     { ticks: 20, nonce: 30 }],
  [ORDINALS.ExecuteTransport,       { ticks: 10 }],
  [ORDINALS.ReleaseTransportSigned, { ticks: 16, nonce: 26 }],
]);

const GET_TICKS = plain(raw.rawCommand('GetTicks', 0)).request;

const NONCE_BYTES = 20;

const LABEL = new Uint8Array(16);

/** The departure of a command within a transport session, where both have an answer of its own. */
function innerly({ request, open }: Inner, [theirs, ours]: readonly [Uint8Array, Uint8Array]) {
  if (word(theirs, 6) !== 0 || word(ours, 6) !== 0) return undefined;
  return departureOf(request, open(theirs), open(ours));
}

export class Mirror {
  readonly #theirs: Swtpm;
  readonly #ours: Replay;
  /** What swtpm last stored. */
  #permall: Uint8Array;
  readonly differences: Difference[] = [];
  /** How each ordinal was met. */
  readonly met = new Map<number, Met>();
  /** How often the two departed from each other in a way that is listed, by its name. */
  readonly departures = new Map<string, number>();
  /** Whether they just did: their states may differ from now on, until `reunite`. */
  departed = false;
  #locality = 0;
  #now = 0;
  #poweredAt = 0;
  /** Whether swtpm has shown the nonce of its ticks since power on. */
  #knowsTickNonce = false;
  /** What the clock shows instead of the time, while a response with ticks is compared. */
  #shown: number | undefined;

  /**
   * Both start from what swtpm starts from; TPM_Startup is not sent.
   * @param savestate what swtpm has from TPM_SaveState, where it does not lie in a file
   */
  constructor(theirs: Swtpm, savestate = theirs.savestate()) {
    this.#theirs = theirs;
    // Once it answers, a new TPM has stored its state.
    theirs.setLocality(0);
    this.#permall = theirs.permall()!;
    const state = toHex(this.#permall);
    const clock = (): number => this.#shown ?? (this.#now = hostTime());
    this.#ours = new Replay({ startsFrom: state, endsWith: state, steps: [] }, clock);
    this.#poweredAt = this.#now;
    if (savestate !== undefined) this.#ours.nvram.blobs.set('savestate', savestate);
  }

  /** The locality of every command from now on. */
  get locality(): number {
    return this.#locality;
  }
  set locality(locality: number) {
    if (locality === this.#locality) return;
    this.#locality = locality;
    this.#theirs.setLocality(locality);
  }

  /** What swtpm has stored: what a guest need not find out for itself. */
  get permanent(): Permanent {
    return decodePermall(this.#theirs.permall()!);
  }

  readonly transmit = (request: Uint8Array, wellFormed = true): Uint8Array => {
    const response = this.#theirs.transmit(request);
    const ordinal = word(request, 6);
    this.#count(ordinal, wellFormed, word(response, 6));
    const looks = this.#lookAfter(request, response);
    for (const [, shown] of looks) this.#ours.hear(shown);
    this.#compare(request, response);
    for (const [look, shown] of looks) this.#compare(look, shown);
    return response;
  };

  /**
   * What is asked of swtpm right after a command whose answer does not tell all that it made, and what
   * that gave: an ephemeral key is never wrapped, and a DAA session draws in secret; their
   * contexts show to who knows the context key. The session is fetched back.
   */
  #lookAfter(request: Uint8Array, response: Uint8Array): [Uint8Array, Uint8Array][] {
    const ask = (command: Command<unknown>): [Uint8Array, Uint8Array] => {
      const { request: look } = plain(command);
      return [look, this.#theirs.transmit(look)];
    };
    if (word(response, 6) !== 0) return [];
    if (word(request, 6) === ORDINALS.ChangeAuthAsymStart) {
      return [ask(save(ephemeralHandle(response), RESOURCE.KEY))];
    }
    if (daaDraws(request) === undefined) return [];
    const session = word(request, 10);
    const saved = ask(save(session, RESOURCE.DAA));
    // Where no more contexts can be saved, what was drawn stays unknown: the session ends on both.
    if (word(saved[1], 6) !== 0) {
      return [saved, ask(raw.rawCommand('FlushSpecific', 1, session, RESOURCE.DAA))];
    }
    return [saved, ask(raw.rawCommand('LoadContext', 1, 0, raw.byte(1), saved[1].slice(10)))];
  }

  /** The same for a command that goes through a transport session: gives the outer response. */
  through(request: Uint8Array, inner: Inner, wellFormed: boolean): Uint8Array {
    // A log holds the nonce of the ticks, which the session does not show.
    if (!this.#knowsTickNonce) this.transmit(GET_TICKS);
    const response = this.#theirs.transmit(request);
    const result = word(response, 6);
    this.#count(ORDINALS.ExecuteTransport, result === 0 || wellFormed, result);
    if (result !== 0) {
      this.#compare(request, response);
      return response;
    }
    this.#count(word(inner.request, 6), wellFormed, word(inner.open(response), 6));
    this.#compare(request, response, inner);
    return response;
  }

  #compare(request: Uint8Array, response: Uint8Array, inner?: Inner): void {
    const ordinal = word(request, 6);
    const random = randomIn(ordinal, response, request);
    this.#learn();
    this.#showTicks(ordinal, response);
    this.#ours.run([
      {
        what: `${ordinalName(ordinal)} ${toHex(request)}`,
        locality: this.#locality,
        request: toHex(request),
        response: toHex(response),
        random,
        inner: inner && this.#innerOf(inner, response),
      },
    ]);
    this.#shown = undefined;
    const [difference] = this.#ours.differences.splice(0);
    const answered = difference === undefined ? response : hex(difference.ours);
    const both = [response, answered] as const;
    const departure = inner === undefined ? departureOf(request, ...both) : innerly(inner, both);
    if (departure !== undefined) this.#depart(departure);
    else if (difference !== undefined) this.differences.push(difference);
  }

  #innerOf({ request, open }: Inner, outer: Uint8Array) {
    const ordinal = word(request, 6);
    const response = open(outer);
    const random = randomIn(ordinal, response, request);
    return {
      request: toHex(request),
      response: toHex(response),
      random,
    };
  }

  #learn(): void {
    const permall = this.#theirs.permall()!;
    if (equal(permall, this.#permall)) return;
    this.#permall = permall;
    this.#ours.learn(permall);
  }

  #depart(name: string): void {
    this.departures.set(name, (this.departures.get(name) ?? 0) + 1);
    this.departed = true;
  }

  /** Has our clock show the ticks of a response, and our ticks the nonce. */
  #showTicks(ordinal: number, response: Uint8Array): void {
    const place = TICKS.get(ordinal);
    if (place === undefined || word(response, 6) !== 0) return;
    const ticks = word(response, place.ticks) * 2 ** 32 + word(response, place.ticks + 4);
    this.#shown = this.#poweredAt + ticks;
    if (place.nonce === undefined) return;
    this.#ours.tickNonce.set(response.slice(place.nonce, place.nonce + NONCE_BYTES));
    this.#knowsTickNonce = true;
  }

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

  /** A measured launch: the hash sequence of locality 4. */
  hash(data: Uint8Array): void {
    this.#theirs.hash(data);
    this.#ours.run([{ event: 'hash', data: toHex(data) }]);
  }

  /** Cuts the power of both, and gives it back. */
  powerCut(): void {
    if (this.departed) {
      this.reunite();
      return;
    }
    this.#theirs.restart();
    this.#ours.run([{ event: 'powerCut' }]);
    this.#powered();
  }

  /** Cuts the power of both, and gives ours the state of theirs. */
  reunite(): void {
    this.#theirs.restart();
    this.#ours.restart(this.#theirs.permall()!, this.#theirs.savestate());
    this.#powered();
    this.departed = false;
  }

  #powered(): void {
    this.#knowsTickNonce = false;
    this.#poweredAt = this.#now;
    this.#theirs.setLocality(this.#locality);
  }

  /** Compares what both have stored. */
  compareStates(): void {
    for (const name of ['permall', 'savestate'] as const) {
      const recorded = this.#theirs[name]() ?? new Uint8Array();
      const ours = this.#ours.nvram.blobs.get(name) ?? new Uint8Array();
      if (equal(ours, recorded)) continue;
      const departure = name === 'savestate' ? departureOfSaved(recorded, ours) : undefined;
      if (departure !== undefined) this.#depart(departure);
      else this.differences.push({ what: name, recorded: toHex(recorded), ours: toHex(ours) });
    }
  }
}

const save = (handle: number, type: number): Command<Uint8Array> =>
  raw.rawCommand('SaveContext', 1, handle, type, LABEL);
