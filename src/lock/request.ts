/**
 * Waiting for a lock on an open file, and the error that names its holder.
 * @module
 */
import { holderName } from './holders.js';
import {
  type AsyncLockWait,
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
  type LockWait,
} from './lock.js';
import { DEFAULT_TIMEOUT_MS, retry, retryAsync } from './wait.js';

/** The lock that is wanted, and on what. `path` is for messages only. */
export interface LockRequest {
  readonly fd: number;
  readonly path: string;
  readonly type: LockType;
  readonly range: LockRange;
}

/**
 * Acquires, upgrades or downgrades the lock. Stops the thread while it waits.
 * @throws LockError LOCKED with the holder, EINVAL, ENOTSUP, SYSTEM
 */
export function lock(driver: LockDriver, request: LockRequest, wait: LockWait = {}): void {
  demandValid(request);
  const acquired = retry(request.path, wait, () => attempt(driver, request));
  if (!acquired) throw denied(driver, request, wait);
}

/**
 * Acquires, upgrades or downgrades the lock. The event loop runs while it waits.
 * @throws LockError LOCKED with the holder, ABORTED, EINVAL, ENOTSUP, SYSTEM
 */
export async function lockAsync(
  driver: LockDriver,
  request: LockRequest,
  wait: AsyncLockWait = {},
): Promise<void> {
  demandValid(request);
  const { path, type } = request;
  const acquired = await retryAsync(path, `the ${type} lock`, wait, () => attempt(driver, request));
  if (!acquired) throw denied(driver, request, wait);
}

const denied = (driver: LockDriver, request: LockRequest, wait: LockWait): LockError =>
  lockedError(request, driver.holder(request.fd, request.type, request.range), wait);

const attempt = (driver: LockDriver, { fd, type, range }: LockRequest): true | undefined =>
  driver.tryLock(fd, type, range) || undefined;

/** @throws LockError EINVAL */
export function demandValid({ path, type, range: { start, length } }: LockRequest): void {
  if (type !== 'shared' && type !== 'exclusive') {
    throw new LockError('EINVAL', path, `${path}: invalid lock type '${String(type)}'`);
  }
  const end = start + length;
  if ([start, length, end].every(n => Number.isSafeInteger(n) && n >= 0)) return;
  throw new LockError('EINVAL', path, `${path}: invalid lock range: ${length} bytes at ${start}`);
}

/** LOCKED: which process holds the lock, how long the wait was, and what to do. */
export function lockedError(
  { path, type }: Pick<LockRequest, 'path' | 'type'>,
  holder: LockHolder | undefined,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: LockWait,
): LockError {
  const waited = timeoutMs > 0 ? ` after waiting ${timeoutMs} ms for the ${type} lock` : '';
  return new LockError(
    'LOCKED',
    path,
    `${path} is locked by ${holderName(holder)}${waited}; try again when it has finished, or end that process`,
    { holder },
  );
}
