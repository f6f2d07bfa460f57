/**
 * The program of a worker: an instance with its image, and nothing else. Calls arrive as messages and
 * run one after another, to their end. A bug ends the worker, and Link reports it.
 * @module
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { NvtpmError } from '../errors.js';
import { LockError } from '../lock/lock.js';
import type { EngineInfo, EngineKind } from '../tpm/engine.js';
import { noTrace, type Trace } from '../trace.js';
import { MachineError } from './errors.js';
import type { HandedOverInstance } from './handed-over.js';
import { Instance } from './instance.js';
import type { InstanceOptions } from './parts.js';
import type { InstanceState } from './state.js';
import type { StoreInfo } from './storage.js';
import type { WorkerSetup } from './worker.js';
import {
  type CallName,
  type Calls,
  cancelledBy,
  FLAG,
  packError,
  type Reply,
  type Request,
  type WorkerSettings,
} from './worker-messages.js';

class Worker implements Calls {
  readonly #setup: () => InstanceOptions;
  readonly #flags: Int32Array;
  #options: InstanceOptions | undefined;
  #active: Instance | undefined;
  #left: HandedOverInstance | undefined;
  /** The call that runs. */
  id = 0;

  constructor(setup: () => InstanceOptions, flags: Int32Array) {
    this.#setup = setup;
    this.#flags = flags;
  }

  coldStart(): EngineKind {
    return this.#start(options => Instance.coldStart(options));
  }

  takeOver(state: InstanceState): EngineKind {
    return this.#start(options => Instance.takeOver(options, state));
  }

  load(state: InstanceState): EngineKind {
    return this.#start(options => Instance.load(options, state));
  }

  execute(command: Uint8Array, locality: number): Uint8Array {
    if (this.isCancelled) {
      const path = this.#options?.image?.path ?? 'the store';
      throw new LockError('ABORTED', path, 'the command was cancelled before it ran');
    }
    // A copy: cloning a part of a buffer clones all of it.
    return new Uint8Array(this.#instance.process(command, locality));
  }

  hashStart(): void {
    this.#instance.engine.hashStart();
  }

  hashData(bytes: Uint8Array): void {
    this.#instance.engine.hashData(bytes);
  }

  hashEnd(): void {
    this.#instance.engine.hashEnd();
  }

  info(): EngineInfo {
    return this.#instance.info;
  }

  storeInfo(): StoreInfo {
    return this.#instance.storeInfo;
  }

  reset(): void {
    this.#instance.reset();
  }

  save(): InstanceState {
    return this.#instance.save();
  }

  handOver(): InstanceState {
    this.#left = this.#instance.handOver();
    return this.#left.state;
  }

  takeBack(): void {
    if (this.#left === undefined)
      throw new MachineError('PHASE', 'the machine was not handed over');
    this.#active = new Instance(this.#left.takeBack());
    this.#left = undefined;
  }

  close(): void {
    try {
      if (this.#active?.ended === false) this.#active.close();
      if (this.#left?.ended === false) this.#left.abandon();
    } finally {
      this.#options?.image?.close();
    }
  }

  get isCancelled(): boolean {
    return Atomics.load(this.#flags, cancelledBy(this.id)) === this.id;
  }

  /** Whether the flag of a measured launch is set, for the registers to show at once. */
  get established(): boolean {
    return this.#active?.ended === false && this.#active.engine.established();
  }

  #start(start: (options: InstanceOptions) => Instance): EngineKind {
    this.#options = this.#setup();
    this.#active = start(this.#options);
    return this.#active.kind;
  }

  get #instance(): Instance {
    if (this.#active?.ended === false) return this.#active;
    throw new MachineError('PHASE', 'the machine is not on');
  }
}

function serve(port: MessagePort, worker: Worker, flags: Int32Array): void {
  const reply = (message: Reply): void => port.postMessage(message);
  port.on('message', <N extends CallName>({ id, name, args }: Request<N>) => {
    worker.id = id;
    try {
      const call = worker[name] as (...given: typeof args) => ReturnType<Calls[N]>;
      const result = call.apply(worker, args);
      Atomics.store(flags, FLAG.established, Number(worker.established));
      reply({ is: 'done', id, result });
    } catch (error) {
      if (!(error instanceof NvtpmError)) throw error;
      reply({ is: 'failed', id, error: packError(error) });
    } finally {
      if (name === 'close') port.close();
    }
  });
}

async function main(port: MessagePort): Promise<void> {
  // From Link, which makes this worker.
  const { setup, data, flags, traced } = workerData as WorkerSettings;
  const words = new Int32Array(flags);
  const { default: prepare } = (await import(setup)) as { default: WorkerSetup };
  const trace: Trace = traced ? event => port.postMessage({ is: 'trace', event }) : noTrace;
  const worker: Worker = new Worker(() => {
    const options = prepare({ data, trace, isCancelled: () => worker.isCancelled });
    const failed = (error: NvtpmError): void => {
      options.failed?.(error);
      port.postMessage({ is: 'failure', error: packError(error) });
    };
    return { ...options, failed };
  }, words);
  serve(port, worker, words);
}

if (parentPort !== null) await main(parentPort);
