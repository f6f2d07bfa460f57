/**
 * What a lock flavour offers: advisory locks on byte ranges of an open file, owned by the open file
 * description (OFD), by the process (POSIX) or by the handle (Win32).
 * @module
 */
import { NvtpmError } from '../errors.js';

/** Shared between readers, or exclusive. */
export type LockType = 'shared' | 'exclusive';
/** The system calls that a lock is made of (docs/locking.md). */
export type LockFlavour = 'ofd' | 'posix' | 'win32';

/** Bytes `start` to `start + length`; a length of 0 reaches to the end of all offsets (fcntl(2)). */
export interface LockRange {
  readonly start: number;
  readonly length: number;
}

/** The range of the 2011 patch: the whole file, however long it grows. */
export const WHOLE_FILE: LockRange = { start: 0, length: 0 };

/** A lock of another owner, as far as the system shows it. */
export interface LockHolder {
  readonly type: LockType;
  readonly range: LockRange;
  /** Process id, where the system shows it. */
  readonly pid?: number;
  readonly command?: string;
}

/** Locks of one flavour. A denied lock is `false`; only a failure throws. */
export interface LockDriver {
  readonly flavour: LockFlavour;
  /**
   * Acquires, upgrades or downgrades a lock without waiting. False where another owner's lock
   * forbids it; any lock already held is kept.
   * @throws LockError ENOTSUP where the file system has no locks, or where an upgrade would release
   * the shared lock in between (win32); EINVAL, SYSTEM
   */
  tryLock(fd: number, type: LockType, range: LockRange): boolean;
  /** @throws LockError LOST, where the flavour can tell (posix); SYSTEM */
  unlock(fd: number, range: LockRange): void;
  /** The first lock of another owner that forbids such a lock, or undefined where it is free. */
  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined;
  /** Every lock of another owner that overlaps the range, as far as the system shows them. */
  holders(fd: number, range: LockRange): readonly LockHolder[];
}

/** How a file is locked: called once for each open file, with its descriptor. */
export type LockDriverFor = (fd: number) => LockDriver;

/** How long to wait for a lock. */
export interface LockWait {
  /** Milliseconds, a finite number; 0 tries once. Default 10,000. */
  readonly timeoutMs?: number | undefined;
}

export interface AsyncLockWait extends LockWait {
  /** Ends the wait at once, with code ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** Why a lock was not acquired, not held, or not released. */
// biome-ignore format: table
export type LockErrorCode =
  | 'LOCKED'      // Another owner holds the lock, and the time to wait is over.
  | 'ABORTED'     // The signal ended the wait.
  | 'NOT_LOCKED'  // Unlocking what is not locked.
  | 'LOST'        // The lock was lost while it was held: this process closed the file elsewhere.
  | 'ENOMEDIUM'   // No medium: the node is closed.
  | 'ENOTSUP'     // No node below can lock, or this platform has no such locks.
  | 'EINVAL'      // Invalid lock type, range, timeout or flavour.
  | 'SYSTEM'; // The system call failed for another reason; see `cause`.

export class LockError extends NvtpmError {
  override readonly name = 'LockError';
  readonly code: LockErrorCode;
  readonly path: string;
  readonly holder: LockHolder | undefined;

  constructor(
    code: LockErrorCode,
    path: string,
    message: string,
    more: { holder?: LockHolder | undefined; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? {} : { cause: more.cause });
    this.code = code;
    this.path = path;
    this.holder = more.holder;
  }

  get outcome(): 'LOCKED' | 'FAILED' {
    return this.code === 'LOCKED' ? 'LOCKED' : 'FAILED';
  }
}
