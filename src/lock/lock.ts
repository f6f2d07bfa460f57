/**
 * What a lock flavour offers: advisory locks on byte ranges of an open file, held by the open file
 * description (OFD), by the process (POSIX) or by the handle (Win32). Chosen at run time.
 * @module
 */
import { NvtpmError } from '../errors.js';

export type LockType = 'shared' | 'exclusive';
export type LockFlavour = 'ofd' | 'posix' | 'win32';

/** Bytes `start` to `start + length`; a length of 0 reaches to the end of all offsets (fcntl(2)). */
export interface LockRange {
  readonly start: number;
  readonly length: number;
}

/** The range of the 2011 patch: the whole file, however long it grows. */
export const WHOLE_FILE: LockRange = { start: 0, length: 0 };

/** Who stands in the way, as far as the system tells. */
export interface LockHolder {
  readonly type: LockType;
  readonly range: LockRange;
  /** Process id, where it could be found out. */
  readonly pid?: number;
  readonly command?: string;
}

/** Denied is `false`; only real trouble throws. */
export interface LockDriver {
  readonly flavour: LockFlavour;
  /**
   * Takes, upgrades or downgrades a lock without waiting. False where another holder forbids it, and
   * what was held before is then held still.
   * @throws LockError ENOTSUP where the file system has no locks, or where an upgrade would let go of
   * the shared lock in between (win32); EINVAL, SYSTEM
   */
  tryLock(fd: number, type: LockType, range: LockRange): boolean;
  /** @throws LockError LOST, where the flavour notices it (posix); SYSTEM */
  unlock(fd: number, range: LockRange): void;
  /** The first holder that would forbid such a lock, or undefined where it could be had. */
  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined;
}

/** How long to wait for a lock, and the way out. */
export interface LockWait {
  /** Milliseconds, a finite number; 0 tries once. Default 10,000. */
  readonly timeoutMs?: number;
  /** Asked between tries; true ends the waiting with code ABORTED. */
  readonly aborted?: () => boolean;
}

// biome-ignore format: table
export type LockErrorCode =
  | 'LOCKED'      // Somebody else holds it, and the time to wait is over.
  | 'ABORTED'     // The caller asked to stop waiting.
  | 'NOT_LOCKED'  // Unlocking what is not locked.
  | 'LOST'        // The lock was lost while it was held: this process closed the file elsewhere.
  | 'ENOMEDIUM'   // No medium: the node is closed.
  | 'ENOTSUP'     // No node below can lock, or this platform has no such locks.
  | 'EINVAL'      // Not a lock type, not a range or not a time to wait.
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
