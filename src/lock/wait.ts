/**
 * Waiting for a lock, with a timeout. F_SETLKW has none and stops the thread, so the lock is tried
 * repeatedly. retry() stops the thread too: it is for a command that has nothing else to do. A
 * process that serves others waits with retryAsync().
 * @module
 */
import { type AsyncLockWait, LockError, type LockWait } from './lock.js';

export const DEFAULT_TIMEOUT_MS = 10_000;
/** A pause is a share of the time waited so far, so that no wait takes much longer than it must. */
const PAUSE_SHARE = 1 / 8;
const SHORTEST_PAUSE_MS = 0.05;
const LONGEST_PAUSE_MS = 20;

/**
 * Tries until `attempt` returns a result or the time is over. Stops the thread in between.
 * @returns the result, or undefined once the time is over
 * @throws LockError EINVAL; whatever `attempt` throws
 */
export function retry<T>(
  path: string,
  wait: LockWait,
  attempt: () => T | undefined,
): T | undefined {
  const nextPause = backOff(path, wait);
  for (;;) {
    const result = attempt();
    if (result !== undefined) return result;
    const ms = nextPause();
    if (ms === undefined) return undefined;
    Atomics.wait(sleeper, 0, 0, ms);
  }
}

/**
 * Tries until `attempt` returns a result, the time is over or the signal aborts. The event loop runs
 * in between; its timers round the shortest pauses up to 1 ms. Nothing is tried after an abort: a
 * result that was returned is the caller's to release, even if the signal aborts later.
 * @param what names what is waited for, in the message
 * @returns the result, or undefined once the time is over
 * @throws LockError ABORTED with the signal's reason as cause, EINVAL; whatever `attempt` throws
 */
export async function retryAsync<T>(
  path: string,
  what: string,
  wait: AsyncLockWait,
  attempt: () => T | undefined,
): Promise<T | undefined> {
  const { signal } = wait;
  const nextPause = backOff(path, wait);
  for (;;) {
    if (signal?.aborted) {
      const message = `${path}: waiting for ${what} was aborted`;
      throw new LockError('ABORTED', path, message, { cause: signal.reason });
    }
    const result = attempt();
    if (result !== undefined) return result;
    const ms = nextPause();
    if (ms === undefined) return undefined;
    await pause(ms, signal);
  }
}

/** A function that returns the next pause in milliseconds, or undefined once the time is over. */
function backOff(
  path: string,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: LockWait,
): () => number | undefined {
  if (!Number.isFinite(timeoutMs) || timeoutMs < 0) {
    throw new LockError('EINVAL', path, `${path}: invalid timeout '${timeoutMs}', expected ms`);
  }
  const start = performance.now();
  return () => {
    const waited = performance.now() - start;
    if (waited >= timeoutMs) return undefined;
    const share = Math.max(SHORTEST_PAUSE_MS, waited * PAUSE_SHARE);
    return Math.min(share, LONGEST_PAUSE_MS, timeoutMs - waited);
  };
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Resolves after `ms` or when the signal aborts, and leaves neither a timer nor a listener behind. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}
