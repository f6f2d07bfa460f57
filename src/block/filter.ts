/**
 * What nodes with one node below share: its path, its rights, and its lock.
 * @module
 */
import type { LockHolder, LockType } from '../lock/lock.js';
import { type Bytes, LockableNode } from './lockable.js';
import type { BlockNode, LockedNode } from './node.js';

/** The bytes of a filter, and those below while the lock is held. */
export interface FilterBytes extends Bytes {
  below: LockedNode;
}

export abstract class FilterNode<N extends BlockNode> extends LockableNode {
  readonly file: N;
  protected abstract override readonly bytes: FilterBytes;

  /** @param file the node below, which this node then owns */
  constructor(file: N) {
    super();
    this.file = file;
  }

  get path(): string {
    return this.file.path;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  lockHolder(type: LockType): LockHolder | undefined {
    return this.file.lockHolder(type);
  }

  protected acquire(type: LockType): LockedNode | undefined {
    return this.file.tryLock(type);
  }

  protected override begin(below: LockedNode): void {
    this.bytes.below = below;
  }

  protected closeBelow(): void {
    this.file.close();
  }
}
