/**
 * The current command of a TPM: its state, its bytes, the STS register.
 * Source: STS and the state transition table of TCG PC Client TIS 1.3 and PTP.
 * @module
 */
import { assert } from '../assert.js';
import { fromHex, toHex } from '../hex.js';
import type { TisBackend } from './backend.js';
import { Fifo, sizeField } from './fifo.js';
import { CAUSE } from './interrupts.js';
import { ones, type Personality, TIS } from './registers.js';
import { type Action, type Event, move, type State } from './state.js';

const { mask, unit } = TIS.STS;

/** TPM_ContinueSelfTest (TPM Main Part 3 §4.2), after whose success selfTestDone is set. */
const TPM_ORD_CONTINUE_SELF_TEST = 0x53;

/** Tag, size and code are 2 + 4 + 4 bytes. */
export const HEADER_SIZE = 10;

/** Stands for a malformed response: TPM_FAIL, or TPM_RC_FAILURE. */
// biome-ignore format: table
const FAILURE: Readonly<Record<Personality, Uint8Array>> = {
  '1.2': Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, 0, 0, 0x00, 0x09),
  '2.0': Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01),
};

/** The command and response at the moment of saving. */
export interface CommandState {
  readonly state: State;
  /** What is in the FIFO, in hex: a command that arrives, or a response. */
  readonly fifo: string;
  /** How much of the response was read. */
  readonly at: number;
  readonly selfTestDone: boolean;
}

export interface CommandEvents {
  /** Something happened that the active locality may have enabled an interrupt for. */
  raise(causes: number): void;
  /** The command has ended and its locality may change now. */
  left(): void;
}

export class Command {
  readonly #backend: TisBackend;
  readonly #personality: Personality;
  readonly #events: CommandEvents;
  readonly #family: number;

  #state: State = 'idle';
  readonly #fifo: Fifo;
  #selfTestDone = false;
  /** How the running command ends. */
  #ending: 'finished' | 'aborted' | 'abandoned' = 'finished';
  /** Which execution this is: a response to an earlier one is discarded. */
  #turn = 0;
  /** The operands of the access that is being carried out. */
  #locality = 0;
  #value = 0;
  #size = 0;

  constructor(
    backend: TisBackend,
    personality: Personality,
    capacity: number,
    events: CommandEvents,
  ) {
    this.#backend = backend;
    this.#personality = personality;
    this.#events = events;
    this.#family = personality === '2.0' ? unit.tpmFamily : 0;
    this.#fifo = new Fifo(capacity);
  }

  get state(): State {
    return this.#state;
  }

  /** Back to the state after power on. A running command is cancelled; its response is discarded. */
  reset(): void {
    const runs = this.#state === 'execution';
    this.#state = 'idle';
    this.#fifo.clear();
    this.#selfTestDone = false;
    this.#ending = 'finished';
    if (runs) this.#backend.cancel();
  }

  /** The STS register, with no more than `burstMax` in burstCount. */
  status(burstMax: number): number {
    const left = this.#state === 'completion' ? this.#fifo.left : 0;
    let value =
      this.#family + Math.min(left > 0 ? left : this.#fifo.room, burstMax) * unit.burstCount;
    if (this.#selfTestDone) value += mask.selfTestDone;
    if (left > 0) value += mask.dataAvail;
    if (this.#state === 'ready') return value + mask.commandReady;
    if (this.#state === 'idle') return value;
    if (this.#state === 'reception' && !this.#fifo.complete) value += mask.expect;
    return value + mask.stsValid;
  }

  /** A write to STS of the active locality. */
  control(value: number, locality: number): void {
    this.#locality = locality;
    if (value & mask.commandCancel && this.#personality === '2.0') this.#on('commandCancel');
    const asked = value & (mask.commandReady | mask.tpmGo | mask.responseRetry);
    if (asked === mask.commandReady) this.#on('commandReady');
    else if (asked === mask.responseRetry) this.#on('responseRetry');
    else if (asked === mask.tpmGo && this.#fifo.complete) this.#on('tpmGo');
  }

  /** A write of `size` bytes to the FIFO. */
  write(value: number, size: number): void {
    this.#value = value;
    this.#size = size;
    this.#on('fifoWrite');
  }

  /** A read of `size` bytes from the FIFO. Past the end, the bus reads ones. */
  read(size: number): number {
    this.#value = ones(size);
    this.#size = size;
    this.#on('fifoRead');
    return this.#value;
  }

  /** The active locality is to change. False where a command runs: `left` is called at its end. */
  leave(): boolean {
    // Before the event: the TPM may stop at once, and `left` has then been called already.
    const runs = this.#state === 'execution';
    this.#on('localityLeft');
    return !runs;
  }

  #on(event: Event): void {
    const found = move(this.#state, event);
    if (found === undefined) return;
    const [action, next] = found;
    this.#state = next;
    this.#actions[action]();
  }

  // Each finds the device in the new state: a TPM that responds at once moves on from there.
  readonly #actions: Readonly<Record<Action, () => void>> = {
    begin: () => {
      this.#fifo.clear();
      this.#events.raise(CAUSE.commandReady);
    },
    clear: () => this.#fifo.clear(),
    receive: () => this.#receive(),
    execute: () => this.#execute(),
    stop: () => this.#stop('aborted'),
    abandon: () => this.#stop('abandoned'),
    cancel: () => this.#backend.cancel(),
    answer: () => this.#events.raise(CAUSE.dataAvail | CAUSE.stsValid),
    deliver: () => this.#deliver(),
    rewind: () => this.#fifo.rewind(),
  };

  /** Bytes after the last one of the command are dropped, even those of the same access. */
  #receive(): void {
    for (let i = 0, rest = this.#value; i < this.#size && !this.#fifo.complete; i += 1) {
      this.#fifo.push(rest & 0xff);
      rest >>>= 8;
    }
  }

  #deliver(): void {
    if (this.#fifo.left === 0) return;
    for (let shift = 0; shift < 8 * this.#size && this.#fifo.left > 0; shift += 8) {
      // The value starts as ones: this turns them into the byte.
      this.#value ^= (this.#fifo.pull() ^ 0xff) << shift;
    }
    this.#value >>>= 0;
    if (this.#fifo.left === 0) this.#events.raise(CAUSE.stsValid);
  }

  #stop(ending: 'aborted' | 'abandoned'): void {
    const first = this.#ending === 'finished';
    // A locality that is about to change does not become ready.
    if (this.#ending !== 'abandoned') this.#ending = ending;
    if (first) this.#backend.cancel();
  }

  #execute(): void {
    const turn = (this.#turn += 1);
    const command = this.#fifo.contents();
    this.#ending = 'finished';
    this.#backend.execute(command, this.#locality, response => {
      // A second response, or one after a reset: discarded.
      if (turn !== this.#turn || this.#state !== 'execution') return;
      this.#finish(command, response);
    });
  }

  #finish(command: Uint8Array, response: Uint8Array): void {
    const sound =
      response.length >= HEADER_SIZE &&
      response.length <= this.#fifo.capacity &&
      sizeField(response) === response.length;
    const answer = sound ? response : FAILURE[this.#personality];
    if (ordinal(command) === TPM_ORD_CONTINUE_SELF_TEST && ordinal(answer) === 0) {
      this.#selfTestDone = true;
    }
    const ending = this.#ending;
    this.#ending = 'finished';
    this.#fifo.fill(answer);
    this.#on(ending);
    if (ending === 'abandoned') this.#events.left();
  }

  /** Not while a command runs: it lives in the TPM, not here. */
  save(): CommandState {
    assert(this.#state !== 'execution');
    return {
      state: this.#state,
      fifo: toHex(this.#fifo.contents()),
      at: this.#fifo.at,
      selfTestDone: this.#selfTestDone,
    };
  }

  restore(saved: CommandState): void {
    const { state, fifo, at, selfTestDone, ...rest } = saved;
    rest satisfies Record<string, never>;
    this.reset();
    this.#state = state;
    this.#fifo.fill(fromHex(fifo), at);
    this.#selfTestDone = selfTestDone;
  }
}

/** The ordinal of a command, or the result code of a response. -1 where it is cut short. */
const ordinal = (bytes: Uint8Array): number =>
  bytes.length < HEADER_SIZE ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(6);
