/**
 * Deferred execution: commands that run later than they were given, one after another, so that a
 * contended image does not stop the event loop of a process with other machines in it.
 * @module
 */
import { holding, withLockAsync } from '../block/lock.js';
import type { BlockNode } from '../block/node.js';
import { NvtpmError } from '../errors.js';
import { LockError } from '../lock/lock.js';
import type { EngineKind } from '../tpm/engine.js';
import { MachineError } from './errors.js';

/** A command that is to be run. */
export interface Task {
  /** The image that it may store to; undefined for a store that needs no lock. */
  readonly image: BlockNode | undefined;
  /** Aborted once the response is no longer needed. */
  readonly signal: AbortSignal;
  /** Runs the command to its end, synchronously. To be called at most once. */
  run(): Uint8Array;
}

/**
 * Decides when a command runs. Resolves with what `run` returned; rejects with the reason where it was
 * not run: the TPM is as before, and the guest is to try again.
 */
export type Executor = (task: Task) => Promise<Uint8Array>;

/**
 * Runs each command inside the cycle lock of the image, as soon as that is free, without blocking the
 * event loop meanwhile. The command's own stores nest in that lock.
 * @param timeoutMs how long a command waits for the lock. Default 10,000.
 */
export const executeWhenFree =
  (timeoutMs?: number): Executor =>
  async ({ image, signal, run }) => {
    if (image === undefined) return run();
    let response: Uint8Array | undefined;
    try {
      await withLockAsync(image, { signal, timeoutMs }, () => {
        response = run();
      });
    } catch (error) {
      if (!(error instanceof NvtpmError) || wasNotRun(error)) throw error;
      // An image that cannot be locked at all is for the command's own stores to find out. And where
      // only the release failed, everything that was acknowledged has been flushed.
      response ??= run();
    }
    return response!;
  };

/**
 * Runs a command at once inside the cycle lock of the image; undefined where another process holds
 * that lock, and the command was not run.
 */
export function executeNow(
  image: BlockNode | undefined,
  run: () => Uint8Array,
): Uint8Array | undefined {
  if (image === undefined) return run();
  let response: Uint8Array | undefined;
  try {
    const disk = image.tryLock();
    if (disk === undefined) return undefined;
    holding(disk, () => {
      response = run();
    });
  } catch (error) {
    if (!(error instanceof NvtpmError)) throw error;
    // As for executeWhenFree.
    response ??= run();
  }
  return response;
}

/** TPM_RETRY (TPM Main Part 2 §16: TPM_NON_FATAL), and TPM_RC_RETRY (TPM 2.0 Part 2 §6.6.3). */
const RETRY: Readonly<Record<EngineKind['version'], Uint8Array>> = {
  '1.2': Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, 0, 0, 0x08, 0x00),
  '2.0': Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x22),
};

/** What a guest is answered where its command was not run: to send it again. */
export const retryResponse = (version: EngineKind['version']): Uint8Array => RETRY[version].slice();

/** TPM_FAIL, and TPM_RC_FAILURE. */
const FAIL: typeof RETRY = {
  '1.2': Uint8Array.of(0x00, 0xc4, 0, 0, 0, 10, 0, 0, 0x00, 0x09),
  '2.0': Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01),
};

/** What a client is answered where no TPM is on. */
export const failResponse = (version: EngineKind['version']): Uint8Array => FAIL[version].slice();

/** Whether an execution failed because the command was not run. */
export const wasNotRun = (error: unknown): boolean =>
  (error instanceof LockError && (error.code === 'LOCKED' || error.code === 'ABORTED')) ||
  (error instanceof MachineError && error.code === 'PHASE');

/** The commands of one power cycle: one at a time, in the order in which they came. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  readonly #waiting = new Set<AbortController>();

  get busy(): boolean {
    return this.#waiting.size > 0;
  }

  /** Passes the command to `executor` once all earlier ones have ended. */
  async take(
    executor: Executor,
    { image, run }: Pick<Task, 'image' | 'run'>,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const own = new AbortController();
    const abort = (): void => own.abort();
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
    this.#waiting.add(own);
    const before = this.#last;
    const turn = before.then(() => executor({ image, signal: own.signal, run }));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#waiting.delete(own);
    }
  }

  /** Resolves once all commands that were given so far have ended. */
  async whenIdle(): Promise<void> {
    while (this.busy) await this.#last;
  }

  /** The power cycle ends: commands that wait are not run. */
  end(): void {
    for (const waiting of this.#waiting) waiting.abort();
  }
}
