/**
 * The frame of every cycle: bdrv_lock around it, and the judgement that it begins with.
 * @module
 */
import { withLock } from '../block/lock.js';
import type { BlockNode, LockedNode } from '../block/node.js';
import type { LockWait } from '../lock/lock.js';
import { noTrace, type Trace } from '../trace.js';
import { type Assessment, assess } from './assess.js';

export interface StoreOptions {
  readonly trace?: Trace;
  /** How long to wait for the lock. */
  readonly wait?: LockWait;
}

/** Runs `cycle` inside bdrv_lock and bdrv_unlock. */
export const locked = <T>(
  node: BlockNode,
  { wait }: StoreOptions,
  cycle: (disk: LockedNode) => T,
): T => withLock(node, wait, cycle);

/** Looks at a store under the lock and writes nothing. Damage is a verdict, not an exception. */
export function inspectStore(node: BlockNode, options: StoreOptions = {}): Assessment {
  return locked(node, options, disk => judge(disk, options));
}

/** The same, inside a lock that is held. */
export function judge(disk: LockedNode, { trace = noTrace }: StoreOptions): Assessment {
  const found = assess(disk);
  const { generation, epoch } = found.state?.directory ?? {};
  trace({
    event: 'validate',
    outcome: found.verdict,
    ...(generation === undefined || epoch === undefined ? {} : { generation, epoch }),
    ...(found.findings.length > 0 ? { why: found.findings.join('; ') } : {}),
  });
  return found;
}
