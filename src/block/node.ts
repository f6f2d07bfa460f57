/**
 * A block node is what QEMU calls a BlockDriverState: something that holds bytes, on top of another
 * such thing or of a file. Nodes stack: qcow2 over file, raw over file, fault between any two.
 * All of it is synchronous: a store inside a TPM command must be on the disk before the response is.
 * @module
 */
import { NvtpmError } from '../errors.js';
import type { LockRange, LockType, LockWait } from '../lock/lock.js';

export interface BlockNode {
  /** QEMU's driver name: file, raw, qcow2, fault. */
  readonly driver: string;
  /** The file at the bottom, for messages and traces. */
  readonly path: string;
  readonly readOnly: boolean;
  /** The node below, if there is one. */
  readonly file: BlockNode | undefined;
  /** Bytes that can be read: the file's length, or the guest's disk size. */
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
  /** Forgets cached metadata: another process may have changed the file. Never throws. */
  invalidate(): void;
  /**
   * Puts metadata that the node still holds back into the file, in an order that survives a power
   * cut, so that the next holder of the lock finds it. Costs nothing where nothing is held back.
   */
  settle?(): void;

  /** Only on nodes that can lock by themselves. Nesting is counted by bdrv_lock, not here. */
  readonly locks?: NodeLocks;

  /** Idempotent. Flushes what the node itself holds back; does not close twice. */
  close(): void;
  [Symbol.dispose](): void;
}

/** The lock of one open image: one counter for each open file, unlike the 2011 patch (one a driver). */
export interface NodeLocks {
  readonly flavour: string;
  /** How often the lock is held right now, and how. */
  readonly depth: number;
  readonly type: LockType | undefined;
  /** The bytes that are locked; may be set while nothing is held. */
  range: LockRange;
  acquire(type: LockType, wait: LockWait): void;
  release(): void;
}

// biome-ignore format: table
export type ImageErrorCode =
  | 'ERR_IMAGE_NOT_QCOW2'    // The magic is missing: some other format, or nothing at all.
  | 'ERR_IMAGE_MALFORMED'    // The format's own rules are broken.
  | 'ERR_IMAGE_UNSUPPORTED'  // Sound, but uses features that we do not have.
  | 'ERR_IMAGE_CORRUPT'      // Marked corrupt, or found so while running.
  | 'ERR_IMAGE_RANGE'        // An access past the end of the disk.
  | 'ERR_IMAGE_READONLY'; // A write to a node that was opened read-only.

/** An image that cannot be used, and every rule that it breaks. */
export class ImageError extends NvtpmError {
  override readonly name = 'ImageError';
  readonly outcome = 'IMAGE';
  readonly code: ImageErrorCode;
  readonly path: string;
  /** Every rule or feature that stands in the way, by name, not only the first. */
  readonly broken: readonly string[];

  constructor(code: ImageErrorCode, path: string, broken: readonly string[], advice = '') {
    super(`${path}: ${broken.join('; ')}${advice === '' ? '' : `; ${advice}`}`);
    this.code = code;
    this.path = path;
    this.broken = broken;
  }
}
