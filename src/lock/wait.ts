/**
 * Waiting for a lock, with a limit and a way out. F_SETLKW would wait without either, so the lock is
 * tried again and again.
 * @module
 */
import {
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
  type LockWait,
} from './lock.js';

export const DEFAULT_TIMEOUT_MS = 10_000;
/** A pause is a share of the time waited so far: no wait takes much longer than it must. */
const PAUSE_SHARE = 1 / 8;
const SHORTEST_PAUSE_MS = 0.05;
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
 * Takes, upgrades or downgrades the lock, or throws once the time is over.
 * @throws LockError LOCKED with the holder, ABORTED, EINVAL, ENOTSUP, SYSTEM
 */
export function lock(driver: LockDriver, wanted: LockRequest, wait: LockWait = {}): void {
  const { fd, path, type, range } = wanted;
  mustBeSound(wanted);
  const taken = retry(path, `the ${type} lock`, wait, () => driver.tryLock(fd, type, range));
  if (!taken) throw locked(wanted, driver.holder(fd, type, range), wait.timeoutMs);
}

/**
 * Tries until it succeeds or the time is over: whether it did.
 * @param what is waited for, for messages
 * @throws LockError ABORTED, EINVAL
 */
export function retry(path: string, what: string, wait: LockWait, attempt: () => boolean): boolean {
  const timeoutMs = wait.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  if (!Number.isFinite(timeoutMs) || timeoutMs < 0) {
    throw new LockError('EINVAL', path, `${path}: '${timeoutMs}' is no time to wait, in ms`);
  }
  const start = performance.now();
  for (;;) {
    if (attempt()) return true;
    if (wait.aborted?.()) {
      throw new LockError('ABORTED', path, `${path}: waiting for ${what} was stopped`);
    }
    const waited = performance.now() - start;
    if (waited >= timeoutMs) return false;
    const share = Math.max(SHORTEST_PAUSE_MS, waited * PAUSE_SHARE);
    pause(Math.min(share, LONGEST_PAUSE_MS, timeoutMs - waited));
  }
}

function mustBeSound({ path, type, range: { start, length } }: LockRequest): void {
  if (type !== 'shared' && type !== 'exclusive') {
    throw new LockError('EINVAL', path, `${path}: '${String(type)}' is no type of lock`);
  }
  const end = start + length;
  if ([start, length, end].every(n => Number.isSafeInteger(n) && n >= 0)) return;
  throw new LockError('EINVAL', path, `${path}: ${length} bytes at ${start} are no range to lock`);
}

/** Who it is, as far as the system told. */
export function nameOf({ pid, command }: Partial<LockHolder>): string {
  if (pid === undefined) return 'another process';
  const name = command === undefined ? '' : ` (${command})`;
  return pid === process.pid ? `this process itself${name}` : `process ${pid}${name}`;
}

/** The refusal: who stands in the way, and what to do about it. */
function locked(
  { path, type }: LockRequest,
  holder: LockHolder | undefined,
  waitedMs = DEFAULT_TIMEOUT_MS,
): LockError {
  const waited = waitedMs > 0 ? ` after waiting ${waitedMs} ms for the ${type} lock` : '';
  return new LockError(
    'LOCKED',
    path,
    `${path} is locked by ${nameOf(holder ?? {})}${waited}; try again when it is done, or end that process`,
    { holder },
  );
}
