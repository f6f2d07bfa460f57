/**
 * A block node is what QEMU calls a BlockDriverState: bytes, on top of another node or of a file.
 * Nodes stack: qcow2 over file, raw over file, fault between any two. All of it is synchronous: a
 * store inside a TPM command must be on the disk before the response is.
 *
 * A node has no access to its bytes. Its lock has: `lock()` is bdrv_lock of the 2011 patch, and the
 * LockedNode that it returns reads, writes, flushes and releases.
 * @module
 */
import { NvtpmError } from '../errors.js';
import type { LockHolder, LockType, LockWait } from '../lock/lock.js';

/** A disk or a file, alone or above other nodes. */
export interface BlockNode extends Disposable {
  /** QEMU's driver name: file, raw, qcow2, fault. */
  readonly driver: string;
  /** The file at the bottom, for messages and traces. */
  readonly path: string;
  readonly readOnly: boolean;
  /** The node below, if there is one. */
  readonly file: BlockNode | undefined;

  /**
   * Acquires the lock of the file at the bottom: shared on a read-only node, exclusive on a writable
   * one. Locks nest; the outermost one makes every node of the chain drop its cached metadata,
   * since another process may have changed the file. Waits synchronously: for command lines.
   * @throws LockError LOCKED (naming the holder), ENOMEDIUM, ENOTSUP, EINVAL; ImageError BROKEN
   */
  lock(wait?: LockWait): LockedNode;
  /** The same without waiting: undefined where another holder forbids it. */
  tryLock(type?: LockType): LockedNode | undefined;
  /** The holder that forbids a lock of this type, as far as the system tells. */
  lockHolder(type: LockType): LockHolder | undefined;

  /** Idempotent. Abandons locks that are still held, and closes the nodes below. */
  close(): void;
}

/** A node that can lie below an image format: a file, or something that stands for one. */
export interface ProtocolNode extends BlockNode {
  readonly file: ProtocolNode | undefined;
  /**
   * Up to `length` bytes at `offset`, fewer at the end, read without the lock: to recognise a format
   * on opening. Nothing that is read this way is used under the lock.
   */
  peek(offset: number, length: number): Uint8Array;
}

/** The bytes of a node, for the holder of its lock. */
export interface LockedNode extends Disposable {
  /** @throws LockError NOT_LOCKED once it is released, like every other use */
  readonly node: BlockNode;
  readonly path: string;
  readonly type: LockType;
  /** Bytes that can be read: the file's length, or the size of the guest's disk. */
  readonly length: number;
  /**
   * Exactly `length` bytes at `offset`, the caller's to keep. Within `this.length`; a file that is
   * shorter than its metadata says reads as zeros there (qcow2), or throws IoError (file).
   */
  read(offset: number, length: number): Uint8Array;
  /** Writes all of `bytes` or throws. Not durable before flush() has returned. */
  write(offset: number, bytes: Uint8Array): void;
  /** Returns once everything written before it would survive a power cut (fdatasync). */
  flush(): void;
  /** Makes the node longer (or, for `file`, shorter); new bytes read as zeros. */
  truncate(length: number): void;
  /**
   * bdrv_unlock. The outermost release first writes back the metadata that nodes still hold, for the
   * next holder to find. If that fails the lock is still released, what was held back is
   * dropped, and the node is broken: it must be closed and opened again.
   * @throws LockError NOT_LOCKED, LOST, SYSTEM; IoError
   */
  release(): void;
  /** Releases without writing back: what was held back is dropped, which leaks clusters at worst. */
  abandon(): void;
  /** release(), and nothing where it is released already. */
  [Symbol.dispose](): void;
}

/** What is wrong with an image. */
// biome-ignore format: table
export type ImageErrorCode =
  | 'NOT_QCOW2'    // The magic is missing: another format, or nothing at all.
  | 'MALFORMED'    // The format's own rules are broken.
  | 'UNSUPPORTED'  // Sound, but uses features that are not supported.
  | 'DAMAGED'      // Marked corrupt, or found to contradict itself.
  | 'RANGE'        // An access past the end of the disk.
  | 'READONLY'     // A write to a node that was opened read-only.
  | 'BROKEN'; // A write-back failed: what this node holds in memory is not in the file.

/** An image that cannot be used, and every rule that it breaks. */
export class ImageError extends NvtpmError {
  override readonly name = 'ImageError';
  readonly outcome = 'IMAGE';
  readonly code: ImageErrorCode;
  readonly path: string;
  /** Every rule or feature that stands in the way, by name, not only the first. */
  readonly broken: readonly string[];

  constructor(
    code: ImageErrorCode,
    path: string,
    broken: readonly string[],
    advice = '',
    cause?: unknown,
  ) {
    super(
      `${path}: ${broken.join('; ')}${advice === '' ? '' : `; ${advice}`}`,
      cause === undefined ? {} : { cause },
    );
    this.code = code;
    this.path = path;
    this.broken = broken;
  }
}
