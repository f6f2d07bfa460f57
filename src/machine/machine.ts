/**
 * A machine: an instance of a TPM behind the TIS front end, with the life cycle of a PC. Its phase is
 * a union: only a machine that is on has registers, only one that is handed over can be taken back.
 * A transition that fails leaves the phase as it was, or the machine off with everything released.
 * @module
 */
import { withLockAsync } from '../block/lock.js';
import type { NvtpmError } from '../errors.js';
import type { AsyncLockWait } from '../lock/lock.js';
import { NvramError } from '../nvram/index.js';
import type { Personality, Tis } from '../tis/index.js';
import type { BlobName, Engine, EngineInfo, EngineKind } from '../tpm/engine.js';
import { safeTrace, type Trace } from '../trace.js';
import { examine, type Origin, type StateBlobs } from './adopt.js';
import { localBackend } from './backend.js';
import { MachineError } from './errors.js';
import { type Executor, executeNow, executeWhenFree, Turns } from './execution.js';
import { demandRestorable, type FrontOptions, makeFront, type Power } from './front.js';
import type { HandedOverInstance } from './handed-over.js';
import { Instance } from './instance.js';
import type { InstanceOptions } from './parts.js';
import type { MachineState } from './state.js';
import type { StoreInfo } from './storage.js';
import { validateStored, validateWhenFree } from './validate.js';

/** An instance, and its front end. */
export type MachineOptions = InstanceOptions & FrontOptions;

/** How the wait for a command ends early. */
export interface Waiting {
  /** Ends the waiting: the command is not run then. */
  readonly signal?: AbortSignal;
}

/** The functions of a TPM that its platform calls: measured launch, the established flag, cancelling. */
export type Platform = Pick<
  Engine,
  'cancel' | 'established' | 'hashStart' | 'hashData' | 'hashEnd'
>;

type Phase =
  | { readonly is: 'off' }
  | { readonly is: 'on'; readonly instance: Instance; readonly front: Tis; readonly turns: Turns }
  | { readonly is: 'handed over'; readonly left: HandedOverInstance; readonly front: Tis }
  /** The TPM is active elsewhere. Final: this machine refuses everything. */
  | { readonly is: 'gone' };

const OFF: Phase = { is: 'off' };

/** A TPM with its registers and its image, and the power of a PC. */
export class Machine {
  readonly #options: MachineOptions;
  readonly #trace: Trace;
  readonly #listeners = new Set<(error: NvtpmError) => void>();
  #phase: Phase = OFF;
  #failure: NvtpmError | undefined;

  constructor(options: MachineOptions) {
    this.#options = {
      ...options,
      failed: error => {
        this.#failure ??= error;
        options.failed?.(error);
        for (const listener of this.#listeners) listener(error);
      },
    };
    this.#trace = safeTrace(options.trace);
  }

  get power(): Power {
    return this.#phase.is;
  }

  /** The TIS registers, while the machine is on. The same device until it is switched off. */
  get tis(): Tis {
    return this.#demand('on').front;
  }

  /** Information about the TPM, while the machine is on. */
  get info(): EngineInfo {
    return this.#demand('on').instance.info;
  }

  /** Which engine runs, while the machine is on. */
  get engine(): EngineKind {
    return this.#demand('on').instance.kind;
  }

  /** The most bytes of a command of the engine, while the machine is on. */
  get commandBytes(): number {
    return this.#demand('on').instance.commandBytes;
  }

  /** The store, as it is now, while the machine is on. */
  get storeInfo(): StoreInfo {
    return this.#demand('on').instance.storeInfo;
  }

  /** The first failure to load or store since the machine was switched on, if any. */
  get failure(): NvtpmError | undefined {
    return this.#failure;
  }

  /**
   * Calls `listener` for each failure to load or store, before the guest gets TPM_FAIL. Returns a
   * function that removes it.
   */
  onFailure(listener: (error: NvtpmError) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sends a command to the TPM directly, bypassing the registers, as a socket delivers it: also one
   * that no FIFO can carry, because its size field does not say its length.
   */
  process(command: Uint8Array, locality = 0): Uint8Array {
    return this.#demand('on').instance.process(command, locality);
  }

  /**
   * Runs a command at once, as `process` does, if no other command waits and no other process holds the
   * lock of the image; undefined where one does.
   */
  tryProcess(command: Uint8Array, locality = 0): Uint8Array | undefined {
    const { instance, turns } = this.#demand('on');
    if (turns.busy) return undefined;
    return executeNow(this.#options.image, () => instance.process(command, locality));
  }

  /**
   * The same without blocking: waits until the image is free, after the commands that came earlier.
   * @throws LockError LOCKED, ABORTED, MachineError PHASE: the command was not run. A server answers
   *   retryResponse() then.
   */
  execute(command: Uint8Array, locality = 0, wait: Waiting = {}): Promise<Uint8Array> {
    return this.#defer(this.#executor, command, locality, wait.signal);
  }

  /**
   * Resolves once no command runs and the image is free, or at once where the machine is not on.
   * @throws LockError LOCKED, ABORTED
   */
  async whenIdle(wait: AsyncLockWait = {}): Promise<void> {
    if (this.#phase.is !== 'on') return;
    await this.#phase.turns.whenIdle();
    const { image } = this.#options;
    if (image !== undefined) await withLockAsync(image, wait, () => {});
  }

  /**
   * A cold start: the state comes from the store, and a new TPM is made only where the store is proven
   * empty.
   * @throws NvramError EMPTY (with expectExisting), CORRUPT, REVISION, TOO_SMALL, KEY_REQUIRED,
   *   WRONG_KEY; LockError; ImageError; IoError
   */
  powerOn(): void {
    this.#demand('off');
    const instance = Instance.coldStart(this.#options);
    this.#switchOn(instance, this.#makeFront(instance.kind.version));
  }

  /**
   * A reset of the platform: the TPM starts over from its stored state, the registers too. If that
   * state can no longer be loaded, the machine is off afterwards.
   * @throws NvramError, StateError; LockError; IoError
   */
  reset(): void {
    const { instance, front, turns } = this.#demand('on');
    turns.end();
    front.reset();
    this.#unlessEnded(instance, () => instance.reset());
    this.#phase = { is: 'on', instance, front, turns: new Turns() };
    this.#trace({ event: 'power', to: 'reset' });
  }

  /**
   * Switches off in order, in every phase; a machine that is gone stays gone. If the store cannot be
   * closed in order, everything is released all the same.
   * @throws NvramError FENCED, CORRUPT; LockError; IoError
   */
  powerOff(): void {
    this.#switchOff('off', instance => instance.close());
  }

  /** A power cut: nothing more is written. What was acknowledged is there at the next start. */
  cutPower(): void {
    this.#switchOff('cut', instance => instance.abandon());
  }

  /**
   * The state of the running machine, which keeps running: an emulator's snapshot. It belongs to the
   * present content of the image.
   * @throws MachineError BUSY; StoreFailure; NvramError, LockError, IoError
   */
  save(): MachineState {
    const { instance, front } = this.#demandIdle();
    return { ...instance.save(), tis: front.saveState() };
  }

  /**
   * Powers on with a saved state. The image must hold what it held then: another store, an older or a
   * newer content is refused by name, and nothing is written.
   * @throws MachineError REFUSED; TisStateError, StateError; what powerOn throws
   */
  load(state: MachineState): void {
    this.#resume(state, () => Instance.load(this.#options, state));
  }

  /**
   * Powers on with state blobs from outside, which replace what is stored, in one commit. Nothing is
   * written unless an engine has loaded them, and the image is empty, or has the same TPM, or was handed
   * over with these blobs ('hand-over'). A roll-back may lead to before its Endorsement Key.
   * @throws MachineError REFUSED; StateError; what powerOn throws
   */
  adopt(blobs: StateBlobs, origin: Origin): void {
    this.#demand('off');
    const instance = Instance.adopt(this.#options, blobs, origin);
    this.#switchOn(instance, this.#makeFront(instance.kind.version));
  }

  /**
   * Loads what is stored into an engine of its own, beside an instance that is active. Writes nothing and
   * takes no guard. An image without a TPM is sound, unless one is expected.
   * @throws MachineError PHASE, ENGINE; what powerOn throws
   */
  validate(): void {
    this.#demand('off');
    validateStored(this.#options);
  }

  /** The same, without blocking while the image is locked. @throws also LockError ABORTED */
  async validateWhenFree(wait: AsyncLockWait = {}): Promise<void> {
    this.#demand('off');
    await validateWhenFree(this.#options, wait);
  }

  /** Loads blobs into an engine of its own. Stores nothing. @throws StateError */
  examine(blobs: StateBlobs): EngineInfo {
    return examine(this.#options.engine, blobs);
  }

  /**
   * A state blob of the machine that is on, by libtpms's name; undefined where it is absent.
   * @throws MachineError PHASE; StoreFailure, NvramError, LockError, IoError
   */
  blob(name: BlobName): Uint8Array | undefined {
    return this.#demand('on').instance.blob(name);
  }

  /** What a platform does to a TPM besides sending commands, while the machine is on. */
  get platform(): Platform {
    return this.#demand('on').instance.engine;
  }

  /**
   * Source of a migration: stops, marks the store as handed over, and returns what has to travel.
   * takeBack() undoes it while no target has become active.
   * @throws MachineError BUSY, UNSUPPORTED; NvramError, LockError, IoError
   */
  handOver(): MachineState {
    const { instance, front } = this.#demandIdle();
    const tis = front.saveState();
    const left = this.#unlessEnded(instance, () => instance.handOver());
    this.#phase = { is: 'handed over', left, front };
    return { ...left.state, tis };
  }

  /**
   * Runs on after handOver(), if the image says that no other instance has become active. Tries once,
   * without waiting; the machine is then on, or gone (FENCED), or the image could not be asked
   * (LockError, IoError): then nothing has changed, and it is to be tried again.
   * @throws NvramError FENCED, CORRUPT (the machine is off); LockError; IoError
   */
  takeBack(): void {
    const { left, front } = this.#demand('handed over');
    try {
      const instance = new Instance(left.takeBack());
      this.#phase = { is: 'on', instance, front, turns: new Turns() };
    } catch (error) {
      if (left.ended) {
        const fenced = error instanceof NvramError && error.code === 'FENCED';
        front.reset();
        this.#phase = fenced ? { is: 'gone' } : OFF;
      }
      throw error;
    }
  }

  /**
   * Target of a migration: resumes what a source has handed over. Everything is validated under the
   * exclusive lock before anything is written.
   * @throws MachineError REFUSED (nothing was written), UNCERTAIN (it failed after the first write);
   *   TisStateError, StateError; what powerOn throws
   */
  takeOver(state: MachineState): void {
    this.#resume(state, () => Instance.takeOver(this.#options, state));
  }

  #resume(state: MachineState, start: () => Instance): void {
    this.#demand('off');
    const { version } = state.engine;
    demandRestorable(state.tis, version, this.#options);
    const instance = start();
    const front = this.#makeFront(version);
    this.#switchOn(instance, front);
    front.restoreState(state.tis);
  }

  #switchOn(instance: Instance, front: Tis): void {
    this.#failure = undefined;
    this.#phase = { is: 'on', instance, front, turns: new Turns() };
    this.#trace({ event: 'power', to: 'on' });
  }

  #switchOff(to: 'off' | 'cut', release: (instance: Instance) => void): void {
    const phase = this.#phase;
    if (phase.is === 'off' || phase.is === 'gone') return;
    // Lowers the interrupt line.
    phase.front.reset();
    this.#phase = OFF;
    if (phase.is === 'on') {
      phase.turns.end();
      release(phase.instance);
    } else {
      phase.left.abandon();
    }
    this.#trace({ event: 'power', to });
  }

  /** Runs a transition of an instance; where it has ended the instance, the machine is off. */
  #unlessEnded<T>(instance: Instance, act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (instance.ended) {
        this.#phase = OFF;
        this.#trace({ event: 'power', to: 'off' });
      }
      throw error;
    }
  }

  #makeFront(personality: Personality): Tis {
    const { execution = 'inline' } = this.#options;
    const backend = localBackend({
      execution,
      engine: () => {
        const phase = this.#phase;
        return phase.is === 'on' && phase.front === front ? phase.instance.engine : undefined;
      },
      tryProcess: (command, locality) => this.tryProcess(command, locality),
      defer: (command, locality, signal) => this.#defer(this.#executor, command, locality, signal),
    });
    const front: Tis = makeFront(backend, personality, this.#options);
    return front;
  }

  get #executor(): Executor {
    const { execution, wait } = this.#options;
    return typeof execution === 'function' ? execution : executeWhenFree(wait?.timeoutMs);
  }

  /** Runs a command later, if the power cycle lasts that long. */
  async #defer(
    executor: Executor,
    command: Uint8Array,
    locality: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { turns } = this.#demand('on');
    const run = (): Uint8Array => {
      const phase = this.#demand('on');
      if (phase.turns === turns) return phase.instance.process(command, locality);
      throw new MachineError('PHASE', 'the machine was switched off before the command ran');
    };
    return turns.take(executor, { image: this.#options.image, run }, signal);
  }

  #demandIdle(): Phase & { is: 'on' } {
    const phase = this.#demand('on');
    if (phase.front.busy || phase.turns.busy)
      throw new MachineError('BUSY', 'a command is running: wait for its end');
    return phase;
  }

  #demand<P extends Power>(is: P): Phase & { is: P } {
    // Narrowing by a comparison does not reach a type parameter.
    if (this.#phase.is === is) return this.#phase as Phase & { is: P };
    throw new MachineError(
      'PHASE',
      `the machine is ${this.#phase.is}; it has to be ${is} for this`,
    );
  }
}
