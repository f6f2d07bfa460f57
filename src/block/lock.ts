/**
 * bdrv_lock and bdrv_unlock, with the names and the meaning of the 2011 patch: a read-only node
 * takes a shared lock, a writable one an exclusive lock, at the bottom of its chain, nested. What
 * differs from the patch, and why, is in docs/architecture.md.
 * @module
 */
import type { AsyncLockWait, LockType, LockWait } from '../lock/lock.js';
import { lockedError } from '../lock/request.js';
import { retry, retryAsync } from '../lock/wait.js';
import type { BlockNode, LockedNode } from './node.js';

/**
 * Acquires the lock of the image that `node` stands on, and stops the thread while it waits: for
 * command lines. A server awaits lockAsync() instead.
 * @throws LockError LOCKED (naming the holder), ENOMEDIUM, ENOTSUP, EINVAL; ImageError BROKEN
 */
export function bdrv_lock(node: BlockNode, wait: LockWait = {}): LockedNode {
  const type = typeOf(node);
  return retry(node.path, wait, () => node.tryLock(type)) ?? deny(node, type, wait);
}

/**
 * The same while the event loop runs. Locks nest, so code that locks synchronously finds the lock
 * held in between, and waits for nothing.
 * @throws LockError LOCKED, ABORTED with the signal's reason as cause, ENOMEDIUM, ENOTSUP, EINVAL;
 *   ImageError BROKEN
 */
export const lockAsync = (node: BlockNode, wait: AsyncLockWait = {}): Promise<LockedNode> =>
  whenLocked(node, wait, locked => locked);

/**
 * Runs `act` under the lock of `node`, in the turn of the event loop that acquired it: nothing else
 * runs in this thread while the lock is held.
 * @throws what lockAsync, `act` and the release throw
 */
export const withLockAsync = <T>(
  node: BlockNode,
  wait: AsyncLockWait,
  act: (disk: LockedNode) => T,
): Promise<T> => whenLocked(node, wait, locked => holding(locked, act));

async function whenLocked<T>(
  node: BlockNode,
  wait: AsyncLockWait,
  use: (locked: LockedNode) => T,
): Promise<T> {
  const type = typeOf(node);
  const used = await retryAsync(node.path, `the ${type} lock`, wait, () => {
    const locked = node.tryLock(type);
    return locked && { result: use(locked) };
  });
  return used === undefined ? deny(node, type, wait) : used.result;
}

/** Releases a lock: LockedNode.release by the name of the 2011 patch. */
export const bdrv_unlock = (locked: LockedNode): void => locked.release();

/**
 * Runs `act` under the lock of `node`, and releases it on every way out.
 * @throws what bdrv_lock, `act` and the release throw; the error of `act` first
 */
export function withLock<T>(
  node: BlockNode,
  wait: LockWait | undefined,
  act: (disk: LockedNode) => T,
): T {
  return holding(bdrv_lock(node, wait), act);
}

/** Runs `act` with a lock that is held, and releases it on every way out. */
export function holding<T>(locked: LockedNode, act: (disk: LockedNode) => T): T {
  let result: T;
  try {
    result = act(locked);
  } catch (error) {
    try {
      locked[Symbol.dispose]();
    } catch {
      // A consequence of the first failure: the node is broken and reports it.
    }
    throw error;
  }
  locked[Symbol.dispose]();
  return result;
}

const typeOf = ({ readOnly }: BlockNode): LockType => (readOnly ? 'shared' : 'exclusive');

/** @throws LockError LOCKED, naming the holder */
function deny(node: BlockNode, type: LockType, wait: LockWait): never {
  throw lockedError({ path: node.path, type }, node.lockHolder(type), wait);
}
