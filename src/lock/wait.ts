/**
 * Waiting for a lock, with a limit and a way out. F_OFD_SETLKW would wait without either, so the
 * lock is tried again and again, with growing pauses.
 * @module
 */
import {
  type LockDriver,
  LockError,
  type LockRange,
  type LockType,
  type LockWait,
} from './lock.js';

const DEFAULT_TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 0.25;
const LONGEST_PAUSE_MS = 20;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms: number): void => void Atomics.wait(sleeper, 0, 0, ms);

/** The lock that is wanted, and on what. `path` is for messages only. */
export interface LockRequest {
  readonly fd: number;
  readonly path: string;
  readonly type: LockType;
  readonly range: LockRange;
}

/**
 * Takes the lock, or throws once the time is over.
 * @throws LockError LOCKED with the holder, ABORTED, SYSTEM
 */
export function lock(driver: LockDriver, wanted: LockRequest, wait: LockWait = {}): void {
  const { fd, path, type, range } = wanted;
  const timeout = wait.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const end = performance.now() + timeout;
  for (let next = FIRST_PAUSE_MS; ; next = Math.min(next * 2, LONGEST_PAUSE_MS)) {
    if (driver.tryLock(fd, type, range)) return;
    if (wait.aborted?.()) {
      throw new LockError('ABORTED', path, `${path}: waiting for the ${type} lock was stopped`);
    }
    const left = end - performance.now();
    if (left <= 0) throw locked(driver, wanted, timeout);
    pause(Math.min(next, left));
  }
}

/** The refusal: who stands in the way, and what to do about it. */
export function locked(driver: LockDriver, wanted: LockRequest, waitedMs: number): LockError {
  const { fd, path, type, range } = wanted;
  const holder = driver.holder(fd, type, range);
  const who =
    holder?.pid === undefined
      ? 'another process'
      : `process ${holder.pid}${holder.command === undefined ? '' : ` (${holder.command})`}`;
  const waited = waitedMs > 0 ? ` after waiting ${waitedMs} ms for the ${type} lock` : '';
  return new LockError(
    'LOCKED',
    path,
    `${path} is locked by ${who}${waited}; try again when it is done, or end that process`,
    { holder },
  );
}
