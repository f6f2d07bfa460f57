/**
 * What all nodes share: the lock as a value, its nesting, and the rule that goes with its release: a
 * released lock leaves either a node without anything held back, or a broken node.
 * @module
 */
import { LockError, type LockHolder, type LockType, type LockWait } from '../lock/lock.js';
import { bdrv_lock } from './lock.js';
import { type BlockNode, ImageError, type LockedNode } from './node.js';

/** What a driver does with its bytes while the lock is held. */
export interface Bytes {
  readonly length: number;
  /** Exactly `length` bytes at `offset`. */
  read(offset: number, length: number): Uint8Array;
  /** Writes all of `bytes`, or throws. */
  write(offset: number, bytes: Uint8Array): void;
  /** Makes every write so far durable. */
  flush(): void;
  /** Sets the length. */
  truncate(length: number): void;
}

/** The lock of what lies below a node: another node's, or the system's own. */
export interface LowerLock {
  release(): void;
  abandon(): void;
}

/** A held lock, as the node itself knows it. */
type Handle = LockedNode;

export abstract class LockableNode<Below extends LowerLock = LockedNode> implements BlockNode {
  abstract readonly driver: string;
  abstract readonly path: string;
  abstract readonly readOnly: boolean;
  abstract readonly file: BlockNode | undefined;
  readonly #held = new Set<Handle>();
  /** One for each held lock. The first is the one in use, and the last to be released. */
  readonly #below: Below[] = [];
  #type: LockType | undefined;
  #broken: unknown;

  /** The bytes, for the holder of the lock. */
  protected abstract readonly bytes: Bytes;
  /** Acquires the lock below without waiting; each call nests. Undefined where it is denied. */
  protected abstract acquire(type: LockType): Below | undefined;
  /**
   * The outermost lock was acquired, or upgraded: drops cached metadata, and uses `below` until the
   * release.
   */
  protected begin(_below: Below): void {}
  /** Writes what is held back, before the outermost lock is released. */
  protected writeBack(): void {}
  /** Drops all that is held back or cached, before the lock is released. */
  protected drop(): void {}
  abstract lockHolder(type: LockType): LockHolder | undefined;
  protected abstract closeBelow(): void;

  lock(wait?: LockWait): LockedNode {
    return bdrv_lock(this, wait);
  }

  tryLock(type: LockType = this.readOnly ? 'shared' : 'exclusive'): LockedNode | undefined {
    this.#demandSound();
    const below = this.acquire(type);
    if (below === undefined) return undefined;
    if (this.#type === undefined || (this.#type === 'shared' && type === 'exclusive')) {
      try {
        this.begin(below);
      } catch (error) {
        below.abandon();
        throw error;
      }
      this.#below.unshift(below);
      this.#type = type;
    } else {
      this.#below.push(below);
    }
    const handle = new LockableNode.Handle(this, type);
    this.#held.add(handle);
    return handle;
  }

  /** How many locks are held, one inside the other. */
  get depth(): number {
    return this.#held.size;
  }

  /** Marks the node as broken because of `cause`. */
  protected break(cause: unknown): void {
    this.#broken ??= cause;
  }

  close(): void {
    for (const handle of [...this.#held].reverse()) handle.abandon();
    this.closeBelow();
  }

  /** The same as close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  #demandSound(): void {
    if (this.#broken === undefined) return;
    const why = this.#broken instanceof Error ? this.#broken.message : String(this.#broken);
    const broken = [`an earlier write to the image failed (${why})`];
    const advice = 'close the image and open it again';
    throw new ImageError('BROKEN', this.path, broken, advice, this.#broken);
  }

  #release(handle: Handle, keep: boolean): void {
    const isLast = this.#held.size === 1;
    try {
      if (isLast && keep) this.writeBack();
    } catch (error) {
      this.break(error);
      throw error;
    } finally {
      this.#held.delete(handle);
      const below = this.#below.pop()!;
      try {
        if (isLast) this.drop();
      } finally {
        if (isLast) this.#type = undefined;
        if (keep) below.release();
        else below.abandon();
      }
    }
  }

  /** The lock as a value. In the class, which alone has access to the bytes. */
  private static readonly Handle = class implements LockedNode {
    readonly type: LockType;
    readonly #of: LockableNode<LowerLock>;
    #live = true;

    constructor(of: LockableNode<LowerLock>, type: LockType) {
      this.#of = of;
      this.type = type;
    }

    get node(): LockableNode<LowerLock> {
      if (this.#live) return this.#of;
      const why = `${this.#of.path}: its lock was released, so it cannot be used or released again`;
      throw new LockError('NOT_LOCKED', this.#of.path, why);
    }

    get path(): string {
      return this.#of.path;
    }

    get length(): number {
      return this.node.bytes.length;
    }

    read(offset: number, length: number): Uint8Array {
      return this.node.bytes.read(offset, length);
    }

    write(offset: number, bytes: Uint8Array): void {
      this.#demandExclusive();
      this.node.bytes.write(offset, bytes);
    }

    flush(): void {
      this.node.bytes.flush();
    }

    truncate(length: number): void {
      this.#demandExclusive();
      this.node.bytes.truncate(length);
    }

    release(): void {
      const of = this.node;
      this.#live = false;
      of.#release(this, true);
    }

    abandon(): void {
      if (!this.#live) return;
      this.#live = false;
      this.#of.#release(this, false);
    }

    [Symbol.dispose](): void {
      if (this.#live) this.release();
    }

    #demandExclusive(): void {
      if (this.type === 'exclusive') return;
      const why = this.node.readOnly
        ? 'the image was opened read-only'
        : 'the lock that is held is shared';
      throw new ImageError('READONLY', this.path, [why]);
    }
  };
}
