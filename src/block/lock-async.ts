/**
 * Waiting for the lock of an image without stopping the event loop: for servers, which have other
 * machines to serve meanwhile.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LockError } from '../lock/lock.js';
import { deny, holding, typeOf } from './lock.js';
import type { BlockNode, LockedNode } from './node.js';

export interface AsyncLockWait {
  /** Ends the waiting with code ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; 0 tries once. Default 10,000. */
  readonly timeoutMs?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const SHORTEST_PAUSE_MS = 0.05;
const LONGEST_PAUSE_MS = 20;
/** A pause is a share of the time waited so far: no wait takes much longer than it must. */
const PAUSE_SHARE = 1 / 8;

/**
 * Acquires the lock of the image that `node` stands on, as bdrv_lock does.
 * @throws LockError LOCKED (naming the holder), ABORTED, ENOMEDIUM, ENOTSUP, EINVAL; ImageError BROKEN
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
  { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: AsyncLockWait,
  use: (locked: LockedNode) => T,
): Promise<T> {
  const start = performance.now();
  for (;;) {
    if (signal?.aborted) {
      throw new LockError('ABORTED', node.path, `${node.path}: waiting for its lock was aborted`);
    }
    const locked = node.tryLock();
    if (locked !== undefined) return use(locked);
    const waited = performance.now() - start;
    if (waited >= timeoutMs) deny(node, typeOf(node), timeoutMs);
    await pause(Math.min(pauseAfter(waited), timeoutMs - waited), signal);
  }
}

/** How long to pause after having waited for `waited` milliseconds. */
export const pauseAfter = (waited: number): number =>
  Math.min(Math.max(SHORTEST_PAUSE_MS, waited * PAUSE_SHARE), LONGEST_PAUSE_MS);

/** Resolves after `ms` milliseconds, or once the signal is aborted. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal }).catch(() => {});
