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
export async function lockAsync(node: BlockNode, wait: AsyncLockWait = {}): Promise<LockedNode> {
  const type = typeOf(node);
  const locked = await retryAsync(node.path, `the ${type} lock`, wait, () => node.tryLock(type));
  return locked ?? deny(node, type, wait);
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
  const locked = bdrv_lock(node, wait);
  let result: T;
  try {
    result = act(locked);
  } catch (error) {
    try {
      locked[Symbol.dispose]();
    } catch {
      // What follows from the first failure: the node is broken and says so.
    }
    throw error;
  }
  locked[Symbol.dispose]();
  return result;
}

const typeOf = ({ readOnly }: BlockNode): LockType => (readOnly ? 'shared' : 'exclusive');

function deny(node: BlockNode, type: LockType, wait: LockWait): never {
  throw lockedError({ path: node.path, type }, node.lockHolder(type), wait);
}
