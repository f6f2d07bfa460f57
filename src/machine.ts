/**
 * The machine around a TPM: joins an image, an engine and the TIS front end, and has the life cycle
 * of a PC: power on, reset, power off, a power cut, and leaving for another host.
 * @module
 */
import assert from 'node:assert/strict';
import { type Guard, type GuardMode, takeGuard } from './block/guard.js';
import { withLock } from './block/lock.js';
import type { BlockNode, LockedNode } from './block/node.js';
import { NvtpmError } from './errors.js';
import { LockError, type LockWait } from './lock/lock.js';
import {
  type ActiveStore,
  Candidate,
  type HandedOverStore,
  type Key,
  NvramError,
  openStore,
} from './nvram/index.js';
import { type InterruptLine, Tis, type TisState } from './tis/index.js';
import {
  type BlobName,
  type Engine,
  type EngineInfo,
  type Entropy,
  type NvramPort,
  StateError,
  StoreFailure,
} from './tpm/engine.js';
import { noTrace, type Trace } from './trace.js';

export interface MachineOptions {
  /** The image, open for writing. The machine does not close it. */
  readonly image: BlockNode;
  /** Makes the TPM engine anew at each power on. */
  readonly engine: () => Engine;
  readonly entropy: Entropy;
  readonly irq?: InterruptLine;
  /** Whether writes to locality 4 reach the registers: see TisOptions. Default: true. */
  readonly locality4?: boolean;
  readonly trace?: Trace;
  /** How long to wait for the lock of the image. */
  readonly wait?: LockWait;
  /** Whether QEMU's bytes of the image file are locked while the power is on. Default auto. */
  readonly imageLock?: GuardMode;
  /** Opens a sealed store; seals the store where an empty image is formatted. */
  readonly key?: Key;
  /** Refuse an EMPTY image too, instead of making a new TPM in it. */
  readonly expectExisting?: boolean;
}

/** What leaves with a machine besides its image. Holds secrets of sessions: not for logs. */
export interface MachineState {
  readonly tis: TisState;
  /** The engine's volatile state, its own format. */
  readonly volatile: Uint8Array;
}

type Power = 'off' | 'on' | 'handed over' | 'gone';

export class Machine {
  readonly #options: MachineOptions;
  readonly #trace: Trace;
  #power: Power = 'off';
  #store: ActiveStore | undefined;
  #left: HandedOverStore<ActiveStore> | undefined;
  #engine: Engine | undefined;
  #tis: Tis | undefined;
  /** Keeps others off the image: as `writer` while the power is on, as `incoming` in between. */
  #guard: Guard | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#trace = options.trace ?? noTrace;
  }

  get power(): Power {
    return this.#power;
  }

  /** The TIS registers, while the power is on. */
  get tis(): Tis {
    assert(this.#power === 'on' && this.#tis !== undefined, 'the machine is off');
    return this.#tis;
  }

  /** The NVRAM of the active instance, while the power is on. */
  get store(): ActiveStore {
    assert(this.#store !== undefined, 'the machine is off');
    return this.#store;
  }

  /** What the TPM is like, while the power is on. */
  get info(): EngineInfo {
    assert(this.#engine !== undefined, 'the machine is off');
    return this.#engine.info();
  }

  /**
   * Hands a command to the TPM past the registers, as a socket would deliver it: also one that no
   * FIFO can carry, because its size field does not tell its length.
   */
  process(command: Uint8Array, locality = 0): Uint8Array {
    assert(this.#power === 'on' && this.#engine !== undefined, 'the machine is off');
    return this.#engine.process(command, locality);
  }

  /**
   * A cold start: the state comes from the image, and a new TPM is made only where the image is
   * proven to be empty. Nothing is written before everything that is there has been validated.
   * @throws NvramError EMPTY (with expectExisting), CORRUPT, REVISION, TOO_SMALL; LockError; IoError
   */
  powerOn(): void {
    assert(this.#power === 'off', `the machine is ${this.#power}`);
    this.#guardAs('writer');
    try {
      this.#coldStart();
    } catch (error) {
      this.#guardAs(undefined);
      throw error;
    }
    this.#trace({ event: 'power', to: 'on' });
  }

  #coldStart(): void {
    const { expectExisting = false } = this.#options;
    const engine = this.#options.engine();
    const whenEmpty = expectExisting ? 'refuse' : 'format';
    // An existing state is loaded before the epoch is written; a new one needs the epoch to store.
    const store = this.#opening(whenEmpty, candidate => {
      const port = this.#port(candidate);
      if (!candidate.pristine) this.#judge(() => engine.init(port));
      const store = port.activate();
      if (store.pristine) this.#judge(() => engine.init(port));
      return store;
    });
    // What a migration left behind would resume a TPM that this power cycle has ended.
    store.delete('volatilestate');
    this.#start(store, engine);
  }

  /**
   * A reset of the platform: the TPM starts over from its stored state, the registers too. If the
   * state cannot be had any more, the machine is off afterwards.
   */
  reset(): void {
    assert(this.#power === 'on', `the machine is ${this.#power}`);
    const { store } = this;
    const engine = this.#options.engine();
    this.#stop('off');
    this.#judge(() => engine.init(this.#port(store)));
    this.#start(store, engine);
    this.#trace({ event: 'power', to: 'reset' });
  }

  /** Switches off in order. From here on, any damage to the store is known to be damage. */
  powerOff(): void {
    if (this.#power !== 'on') return;
    this.#stop('off');
    try {
      this.#store?.close();
    } finally {
      this.#store = undefined;
      this.#guardAs(undefined);
    }
    this.#trace({ event: 'power', to: 'off' });
  }

  /** Pulls the plug: nothing more is written. What was acknowledged is there at the next start. */
  cutPower(): void {
    this.#stop('off');
    this.#store?.abandon();
    this.#store = undefined;
    this.#left?.abandon();
    this.#left = undefined;
    this.#guardAs(undefined);
    this.#trace({ event: 'power', to: 'cut' });
  }

  /**
   * Source of a migration: stops, marks the store as handed over, and gives what has to travel.
   * takeBack() undoes it as long as nobody took over; finish() ends it.
   */
  handOver(): MachineState {
    assert(this.#power === 'on' && !this.tis.busy, 'a command is running');
    const state = { tis: this.tis.saveState(), volatile: this.#engine!.volatileState() };
    this.#left = this.store.handOver();
    this.#power = 'handed over';
    this.#guardAs('incoming');
    return state;
  }

  /**
   * Runs on after handOver(): the target said no, or nothing.
   * @throws NvramError FENCED if the target has become active; the machine is then gone. LockError
   *   if somebody else has the image just now; it can be tried again.
   */
  takeBack(): void {
    assert(this.#power === 'handed over', `the machine is ${this.#power}`);
    try {
      this.#guardAs('writer');
      this.#store = this.#left!.resume();
    } catch (error) {
      this.#guardAs('incoming');
      // Whoever has the image may be the target, whose answer did not arrive: the epoch tells.
      if (error instanceof LockError && this.#left!.isOurs()) throw error;
      this.#stop('gone');
      this.#guardAs(undefined);
      if (!(error instanceof LockError)) throw error;
      throw new NvramError('FENCED', this.#options.image.path, ['the target has taken it over']);
    }
    this.#power = 'on';
  }

  /** The target said yes: this machine refuses everything from now on. */
  finish(): void {
    assert(this.#power === 'handed over', `the machine is ${this.#power}`);
    this.#stop('gone');
    this.#left?.finish();
    this.#guardAs(undefined);
  }

  /**
   * Target of a migration: takes over what a source has handed over. `mayTake` sees the store under
   * the exclusive lock, before anything is written; what it throws leaves the image as it was.
   */
  takeOver(state: MachineState, mayTake: (store: Candidate) => void): void {
    assert(this.#power === 'off', `the machine is ${this.#power}`);
    const engine = this.#options.engine();
    let tis: Tis | undefined;
    this.#guardAs('writer');
    try {
      const store = this.#opening('refuse', candidate => {
        const port = this.#port(candidate);
        mayTake(candidate);
        this.#judge(() => engine.restore(port, state.volatile));
        tis = this.#front(engine);
        tis.restoreState(state.tis);
        return port.activate();
      });
      this.#start(store, engine, tis);
    } catch (error) {
      this.#guardAs(undefined);
      throw error;
    }
    this.#trace({ event: 'power', to: 'on' });
  }

  /** Gives up the guard that is held, and takes another, or none. */
  #guardAs(role: 'writer' | 'incoming' | undefined): void {
    this.#guard?.release();
    this.#guard = undefined;
    if (role === undefined) return;
    // Tried once, as QEMU does: whoever holds a guard holds it for long.
    const { image, imageLock = 'auto' } = this.#options;
    this.#guard = takeGuard(image, role, imageLock);
  }

  /** Opens the store and activates it, in one lock cycle. */
  #opening(
    whenEmpty: 'refuse' | 'format',
    act: (candidate: Candidate) => ActiveStore,
  ): ActiveStore {
    const { image, wait } = this.#options;
    return withLock(image, wait, (disk: LockedNode) => {
      const candidate = openStore(disk, { ...this.#options, whenEmpty });
      try {
        return act(candidate);
      } finally {
        candidate.discard();
      }
    });
  }

  #start(store: ActiveStore, engine: Engine, tis: Tis = this.#front(engine)): void {
    this.#store = store;
    this.#engine = engine;
    this.#tis = tis;
    this.#power = 'on';
  }

  #stop(power: Power): void {
    // Whoever comes next starts with the interrupt line down.
    this.#tis?.reset();
    this.#engine?.close();
    this.#engine = undefined;
    this.#tis = undefined;
    this.#power = power;
  }

  #front(engine: Engine): Tis {
    const { irq, locality4 = true } = this.#options;
    return new Tis({
      backend: {
        execute: (command, locality, done) => done(engine.process(command, locality)),
        cancel: () => {
          engine.cancel();
        },
        established: () => engine.established(),
        hashStart: () => engine.hashStart(),
        hashData: bytes => engine.hashData(bytes),
        hashEnd: () => engine.hashEnd(),
      },
      personality: '1.2',
      locality4,
      trace: this.#trace,
      ...(irq === undefined ? {} : { irq }),
    });
  }

  /** The store as an engine sees it: host troubles are wrapped, and absent is absent for sure. */
  #port(opened: Candidate | ActiveStore): NvramPort & { activate(): ActiveStore } {
    let store = opened;
    const active = (): ActiveStore => {
      assert(!(store instanceof Candidate), 'a candidate stores nothing');
      return store;
    };
    const guarded = <T>(what: string, act: () => T): T => {
      try {
        return act();
      } catch (error) {
        // Anything else is a bug of ours, or a test's power cut, and not a failure of the host.
        if (!(error instanceof NvtpmError)) throw error;
        this.#trace({ event: 'failure', where: what, why: error.message });
        throw new StoreFailure(error);
      }
    };
    return {
      load: name => guarded(`load ${name}`, () => this.#load(store, name)),
      store: (name, bytes) => guarded(`store ${name}`, () => active().store(name, bytes)),
      delete: name => guarded(`delete ${name}`, () => active().delete(name)),
      activate: () => {
        if (store instanceof Candidate) store = store.activate();
        return store;
      },
    };
  }

  #load(store: Candidate | ActiveStore, name: BlobName): Uint8Array | undefined {
    const bytes = store.load(name);
    if (bytes === undefined && name === 'permall' && !store.pristine) {
      const why = 'a TPM was stored here before, and its permall is gone';
      throw new NvramError('CORRUPT', this.#options.image.path, [why]);
    }
    return bytes;
  }

  /** Says of a state that the engine refuses what it means to the user. */
  #judge(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof StoreFailure && error.cause instanceof Error) throw error.cause;
      // A volatile state comes from another host and not from the image, so it is not judged here.
      if (!(error instanceof StateError) || error.blob === 'volatilestate') throw error;
      const code = error.code === 'REVISION' ? 'REVISION' : 'CORRUPT';
      throw new NvramError(code, this.#options.image.path, [error.message]);
    }
  }
}
