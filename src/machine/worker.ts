/**
 * A machine whose instance (image, store and engine) lives in a worker thread: only the registers are
 * here. A command that takes long, as making a key does, stops neither the guest's processor nor the
 * other machines of the process; STS shows it as running. The same phases as Machine, and the same
 * transitions, each of which is answered later. Transitions follow one another.
 * @module
 */
import type { NvtpmError } from '../errors.js';
import { NvramError } from '../nvram/index.js';
import type { Tis } from '../tis/index.js';
import type { EngineInfo, EngineKind } from '../tpm/engine.js';
import { safeTrace, type Trace } from '../trace.js';
import { MachineError } from './errors.js';
import { demandRestorable, type FrontOptions, makeFront, type Power } from './front.js';
import { Link } from './link.js';
import type { InstanceOptions } from './parts.js';
import type { InstanceState, MachineState } from './state.js';
import type { StoreInfo } from './storage.js';
import { workerBackend } from './worker-backend.js';

/** What a setup module is given, in the worker. */
export interface WorkerContext {
  readonly data: unknown;
  /** Where trace events go: to the machine's own trace. */
  readonly trace: Trace;
  /** Whether the running command was cancelled: for an engine that can stop half-way. */
  readonly isCancelled: () => boolean;
}

/**
 * The default export of a setup module: opens the image and names the engine. Called in the worker at
 * each power on; the image is closed there.
 */
export type WorkerSetup = (context: WorkerContext) => InstanceOptions;

/** The setup module of a machine in a worker, and its registers. */
export interface WorkerMachineOptions extends Omit<FrontOptions, 'execution'> {
  /** The setup module. */
  readonly setup: URL;
  /** What it is given: anything that can be cloned. */
  readonly data?: unknown;
  readonly trace?: Trace;
  /** Called for each failure to load or store, and if the worker dies. */
  readonly failed?: (error: NvtpmError) => void;
}

interface Live {
  readonly is: 'on' | 'handed over';
  readonly link: Link;
  readonly front: Tis;
}
type Phase = { readonly is: 'off' | 'gone' } | Live;

const OFF: Phase = { is: 'off' };

/** A machine whose image, store and engine are in a worker thread. Transitions are promises. */
export class WorkerMachine {
  readonly #options: WorkerMachineOptions;
  readonly #trace: Trace;
  readonly #listeners = new Set<(error: NvtpmError) => void>();
  #phase: Phase = OFF;
  /** The worker that was made last. */
  #link: Link | undefined;
  /** The transition that runs, or ran last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: WorkerMachineOptions) {
    this.#options = options;
    this.#trace = safeTrace(options.trace);
  }

  get power(): Power {
    return this.#phase.is;
  }

  /** The TIS registers, while the machine is on. */
  get tis(): Tis {
    return this.#demand('on').front;
  }

  /** See Machine.onFailure; also called if the worker dies. */
  onFailure(listener: (error: NvtpmError) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** See Machine.info. */
  async info(): Promise<EngineInfo> {
    return this.#demand('on').link.call('info').result;
  }

  /** See Machine.storeInfo. */
  async storeInfo(): Promise<StoreInfo> {
    return this.#demand('on').link.call('storeInfo').result;
  }

  /**
   * Sends a command to the TPM, bypassing the registers.
   * @throws LockError ABORTED: the command was not run; MachineError PHASE, WORKER
   */
  async execute(
    command: Uint8Array,
    locality = 0,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    const { link } = this.#demand('on');
    // A copy: cloning a part of a buffer clones all of it.
    const { result, cancel } = link.call('execute', new Uint8Array(command), locality);
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel);
    return result.finally(() => signal?.removeEventListener('abort', cancel));
  }

  /** Resolves once no command runs. */
  async whenIdle(): Promise<void> {
    await this.#last;
    const phase = this.#phase;
    if ('link' in phase) await phase.link.whenIdle();
  }

  /** See Machine.powerOn. @throws also MachineError WORKER */
  powerOn(): Promise<void> {
    return this.#next(() => this.#start('coldStart'));
  }

  /** See Machine.load. @throws also MachineError WORKER */
  load(state: MachineState): Promise<void> {
    return this.#next(() => this.#resume('load', state));
  }

  /** See Machine.takeOver. @throws also MachineError WORKER */
  takeOver(state: MachineState): Promise<void> {
    return this.#next(() => this.#resume('takeOver', state));
  }

  /** See Machine.reset. A command that runs is ended first. */
  reset(): Promise<void> {
    return this.#next(async () => {
      const { link, front } = this.#demand('on');
      front.reset();
      try {
        await link.call('reset').result;
      } catch (error) {
        await this.#release(link, front);
        throw error;
      }
      this.#trace({ event: 'power', to: 'reset' });
    });
  }

  /** See Machine.powerOff. A command that runs is ended first. */
  powerOff(): Promise<void> {
    return this.#next(async () => {
      const phase = this.#phase;
      if (!('link' in phase)) return;
      phase.front.reset();
      this.#phase = OFF;
      await phase.link.close();
      this.#trace({ event: 'power', to: 'off' });
    });
  }

  /** A power cut: terminates the worker at once, in the middle of a command or a transition. */
  async cutPower(): Promise<void> {
    const phase = this.#phase;
    if ('link' in phase) {
      phase.front.reset();
      this.#phase = OFF;
    }
    await this.#link?.terminate();
    this.#trace({ event: 'power', to: 'cut' });
  }

  /** See Machine.save. */
  save(): Promise<MachineState> {
    return this.#next(async () => {
      const { link, front } = this.#demandIdle();
      // Both of this moment: what the guest does from now on reaches the worker after the call.
      const tis = front.saveState();
      return { ...(await link.call('save').result), tis };
    });
  }

  /** See Machine.handOver. */
  handOver(): Promise<MachineState> {
    return this.#next(async () => {
      const { link, front } = this.#demandIdle();
      const tis = front.saveState();
      this.#phase = { is: 'handed over', link, front };
      return { ...(await this.#leave(link, front)), tis };
    });
  }

  async #leave(link: Link, front: Tis): Promise<InstanceState> {
    try {
      return await link.call('handOver').result;
    } catch (error) {
      // An instance that has ended refuses this.
      const isOn = await link.call('storeInfo').result.then(
        () => true,
        () => false,
      );
      if (isOn) this.#phase = { is: 'on', link, front };
      else await this.#release(link, front);
      throw error;
    }
  }

  /** See Machine.takeBack. */
  takeBack(): Promise<void> {
    return this.#next(async () => {
      const { link, front } = this.#demand('handed over');
      try {
        await link.call('takeBack').result;
        this.#phase = { is: 'on', link, front };
      } catch (error) {
        if (error instanceof NvramError || error instanceof MachineError) {
          await this.#release(link, front);
          if (error.code === 'FENCED') this.#phase = { is: 'gone' };
        }
        throw error;
      }
    });
  }

  async #start(name: 'coldStart'): Promise<void>;
  async #start(name: 'load' | 'takeOver', state: InstanceState): Promise<void>;
  async #start(name: 'coldStart' | 'load' | 'takeOver', state?: InstanceState): Promise<void> {
    this.#demand('off');
    const link = this.#connect();
    let kind: EngineKind;
    try {
      kind = await (state === undefined
        ? link.call('coldStart').result
        : link.call(name as 'load', state).result);
    } catch (error) {
      await link.terminate();
      throw error;
    }
    link.demandAlive();
    const isOn = (): boolean => this.#phase.is === 'on' && this.#phase.link === link;
    const front = makeFront(workerBackend(link, isOn), kind.version, this.#options);
    this.#phase = { is: 'on', link, front };
    this.#trace({ event: 'power', to: 'on' });
  }

  async #resume(name: 'load' | 'takeOver', { tis, ...state }: MachineState): Promise<void> {
    this.#demand('off');
    demandRestorable(tis, state.engine.version, this.#options);
    await this.#start(name, state);
    this.tis.restoreState(tis);
  }

  #connect(): Link {
    const { setup, data, trace } = this.#options;
    const link: Link = new Link({
      setup,
      data,
      trace: trace && this.#trace,
      failed: error => this.#tell(error),
      died: error => {
        const phase = this.#phase;
        if (!('link' in phase) || phase.link !== link) return;
        phase.front.reset();
        this.#phase = OFF;
        this.#trace({ event: 'failure', where: 'worker', why: error.message });
        this.#tell(error);
      },
    });
    this.#link = link;
    return link;
  }

  #tell(error: NvtpmError): void {
    this.#options.failed?.(error);
    for (const listener of this.#listeners) listener(error);
  }

  async #release(link: Link, front: Tis): Promise<void> {
    front.reset();
    this.#phase = OFF;
    await link.terminate();
  }

  /** Runs a transition once the earlier ones have ended. */
  #next<T>(transition: () => Promise<T>): Promise<T> {
    const next = this.#last.then(transition);
    this.#last = next.catch(() => {});
    return next;
  }

  #demandIdle(): Live {
    const phase = this.#demand('on');
    if (phase.front.busy) throw new MachineError('BUSY', 'a command is running: wait for its end');
    return phase;
  }

  #demand(is: 'off'): Phase;
  #demand(is: 'on' | 'handed over'): Live;
  #demand(is: Power): Phase {
    if (this.#phase.is === is) return this.#phase;
    throw new MachineError(
      'PHASE',
      `the machine is ${this.#phase.is}; it has to be ${is} for this`,
    );
  }
}
