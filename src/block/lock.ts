/**
 * bdrv_lock and bdrv_unlock, with the names and the meaning of the 2011 patch: a read-only node
 * takes a shared lock, a writable one an exclusive lock, at the bottom of its chain, nested. What
 * differs from the patch, and why, is in docs/architecture.md.
 * @module
 */
import { LockError, type LockHolder, type LockType, type LockWait } from '../lock/lock.js';
import { DEFAULT_TIMEOUT_MS, nameOf, retry } from '../lock/wait.js';
import type { BlockNode, LockedNode } from './node.js';

/**
 * Acquires the lock of the image that `node` stands on, and waits for it synchronously: for command
 * lines. A server awaits lockAsync() instead.
 * @throws LockError LOCKED (naming the holder), ENOMEDIUM, ENOTSUP, EINVAL; ImageError BROKEN
 */
export function bdrv_lock(node: BlockNode, wait: LockWait = {}): LockedNode {
  let locked: LockedNode | undefined;
  const type = typeOf(node);
  retry(node.path, `the ${type} lock`, wait, () => (locked = node.tryLock(type)) !== undefined);
  return locked ?? deny(node, type, wait.timeoutMs);
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
      // What follows from the first failure: the node is broken and says so.
    }
    throw error;
  }
  locked[Symbol.dispose]();
  return result;
}

export const typeOf = ({ readOnly }: BlockNode): LockType => (readOnly ? 'shared' : 'exclusive');

/** @throws LockError LOCKED, naming the holder */
export function deny(node: BlockNode, type: LockType, waitedMs = DEFAULT_TIMEOUT_MS): never {
  const holder: LockHolder | undefined = node.lockHolder(type);
  const waited = waitedMs > 0 ? ` after waiting ${waitedMs} ms for the ${type} lock` : '';
  throw new LockError(
    'LOCKED',
    node.path,
    `${node.path} is locked by ${nameOf(holder ?? {})}${waited}; try again when it is done, or end that process`,
    { holder },
  );
}
