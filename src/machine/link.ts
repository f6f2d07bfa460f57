/**
 * One worker, from its start to its end: calls and their replies, and what becomes of them when the
 * worker dies.
 * @module
 */
import { Worker } from 'node:worker_threads';
import type { NvtpmError } from '../errors.js';
import type { Trace } from '../trace.js';
import { MachineError } from './errors.js';
import {
  type CallName,
  type Calls,
  cancelledBy,
  FLAG,
  FLAG_BYTES,
  type Reply,
  unpackError,
  type WorkerSettings,
} from './worker-messages.js';

export interface LinkOptions {
  /** The module whose default export prepares the instance: see WorkerSetup. */
  readonly setup: URL;
  readonly data: unknown;
  readonly trace: Trace | undefined;
  readonly failed: (error: NvtpmError) => void;
  /** Called once if the worker ends unexpectedly. */
  readonly died: (error: MachineError) => void;
}

interface Waiting {
  resolve(result: never): void;
  reject(error: Error): void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #worker: Worker;
  readonly #shared = new SharedArrayBuffer(FLAG_BYTES);
  readonly #flags = new Int32Array(this.#shared);
  readonly #waiting = new Map<number, Waiting>();
  readonly #exited: Promise<void>;
  #id = 0;
  #why: unknown;
  #ending = false;
  #ended: MachineError | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    const settings: WorkerSettings = {
      setup: options.setup.href,
      data: options.data,
      flags: this.#shared,
      traced: options.trace !== undefined,
    };
    this.#worker = new Worker(new URL('./worker-main.js', import.meta.url), {
      workerData: settings,
    });
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    this.#worker.on('error', error => {
      this.#why = error;
    });
    this.#exited = new Promise(resolve => {
      this.#worker.once('exit', code => {
        this.#end(code);
        resolve();
      });
    });
  }

  get established(): boolean {
    return Atomics.load(this.#flags, FLAG.established) === 1;
  }

  /**
   * Calls the instance; `cancel` skips a command that has not begun.
   * @throws what the call throws; MachineError WORKER if the worker dies before it has answered
   */
  call<N extends CallName>(
    name: N,
    ...args: Parameters<Calls[N]>
  ): { readonly result: Promise<ReturnType<Calls[N]>>; cancel(): void } {
    const id = (this.#id += 1);
    const result = new Promise<ReturnType<Calls[N]>>((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, args });
    });
    return { result, cancel: () => Atomics.store(this.#flags, cancelledBy(id), id) };
  }

  /** @throws MachineError WORKER once it has ended, or is ending */
  demandAlive(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#ending) throw new MachineError('WORKER', 'the worker of the machine is ending');
  }

  /** Resolves once every call so far is answered. */
  async whenIdle(): Promise<void> {
    while (this.#waiting.size > 0) await Promise.allSettled([this.call('info').result]);
  }

  /** Closes the instance in order, and ends the worker. @throws what Instance.close throws */
  async close(): Promise<void> {
    this.#ending = true;
    try {
      await this.call('close').result;
    } finally {
      await this.#exited;
    }
  }

  /** Ends the worker at once, as a power cut does: its files are closed, and nothing more is written. */
  async terminate(): Promise<void> {
    this.#ending = true;
    await this.#worker.terminate();
    await this.#exited;
  }

  #receive(reply: Reply): void {
    switch (reply.is) {
      case 'done':
        // Of the type that the call of this id returns: both sides have the same `Calls`.
        this.#take(reply.id)?.resolve(reply.result as never);
        return;
      case 'failed':
        this.#take(reply.id)?.reject(unpackError(reply.error));
        return;
      case 'failure':
        // The worker sends only NvtpmErrors here.
        this.#options.failed(unpackError(reply.error) as NvtpmError);
        return;
      case 'trace':
        this.#options.trace?.(reply.event);
        return;
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #end(code: number): void {
    const why = this.#why instanceof Error ? this.#why.message : `exit code ${code}`;
    const cause = this.#why;
    this.#ended = new MachineError('WORKER', `the worker of the machine has ended: ${why}`, {
      cause,
    });
    // The phase first: what is rejected below finds the machine off.
    if (!this.#ending) this.#options.died(this.#ended);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
