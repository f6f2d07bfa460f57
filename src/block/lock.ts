/**
 * bdrv_lock and bdrv_unlock, with the names and the meaning of the 2011 patch: a read-only node
 * takes a shared lock, a writable one an exclusive lock, at the bottom of its chain, nested. What
 * differs from the patch, and why, is in docs/architecture.md.
 * @module
 */
import { LockError, type LockWait } from '../lock/lock.js';
import type { BlockNode, NodeLocks } from './node.js';

/**
 * Locks the image that `node` stands on against other processes. The outermost lock makes every
 * node forget its cached metadata, since another process may have changed the file meanwhile.
 * @throws LockError LOCKED (naming the holder), ABORTED, ENOMEDIUM, ENOTSUP, EINVAL
 */
export function bdrv_lock(node: BlockNode, wait: LockWait = {}): void {
  const locks = locksBelow(node);
  const type = node.readOnly ? 'shared' : 'exclusive';
  const outermost = locks.depth === 0;
  locks.acquire(type, wait);
  if (!outermost) return;
  try {
    for (const each of chain(node)) each.settle?.();
    for (const each of chain(node)) each.invalidate();
  } catch (error) {
    locks.release();
    throw error;
  }
}

/**
 * Gives the lock back; the last of nested ones for real, after whatever the nodes still held back
 * is in the file, where the next holder will look for it.
 * @throws LockError NOT_LOCKED, LOST, ENOTSUP
 */
export function bdrv_unlock(node: BlockNode): void {
  const locks = locksBelow(node);
  try {
    if (locks.depth === 1) for (const each of chain(node)) each.settle?.();
  } finally {
    locks.release();
  }
}

/**
 * Runs `act` between bdrv_lock and bdrv_unlock.
 * @throws what either does, and what `act` throws
 */
export function underLock<T>(node: BlockNode, wait: LockWait | undefined, act: () => T): T {
  bdrv_lock(node, wait);
  try {
    return act();
  } finally {
    bdrv_unlock(node);
  }
}

/** The nodes from the given one down to the file. */
function* chain(node: BlockNode): Generator<BlockNode> {
  for (let at: BlockNode | undefined = node; at !== undefined; at = at.file) yield at;
}

/** The lock of the node at the bottom that has one. @throws LockError ENOTSUP */
export function locksBelow(node: BlockNode): NodeLocks {
  let locks: NodeLocks | undefined;
  for (const each of chain(node)) locks = each.locks ?? locks;
  if (locks !== undefined) return locks;
  throw new LockError('ENOTSUP', node.path, `${node.path}: no node of this image can be locked`);
}
