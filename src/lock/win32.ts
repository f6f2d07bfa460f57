/**
 * Windows locks: LockFileEx and UnlockFileEx on the HANDLE of a descriptor. They belong to the
 * handle, so descriptors and threads exclude each other, and they are mandatory: no other handle
 * can read or write what is locked exclusively. All I/O of a locked image goes through its
 * descriptor.
 * @module
 */
import {
  ERROR_INVALID_FUNCTION,
  ERROR_LOCK_VIOLATION,
  ERROR_NOT_SUPPORTED,
  LOCKFILE_EXCLUSIVE_LOCK,
  LOCKFILE_FAIL_IMMEDIATELY,
  loadWin32,
} from '../native/win32.js';
import { ownHolders } from './holders.js';
import {
  type LockDriver,
  LockError,
  type LockHolder,
  type LockRange,
  type LockType,
} from './lock.js';
import { overlap, sameRange } from './range.js';
import { type HeldLock, locksOf, noteLock, noteUnlock } from './registry.js';

const FLAGS: Readonly<Record<LockType, number>> = {
  shared: LOCKFILE_FAIL_IMMEDIATELY,
  exclusive: LOCKFILE_FAIL_IMMEDIATELY | LOCKFILE_EXCLUSIVE_LOCK,
};

/** What a file system without locks answers. */
const NOT_OFFERED: readonly number[] = [ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED];

export class Win32Driver implements LockDriver {
  readonly flavour = 'win32';
  /** @throws NativeError on another system */
  readonly #api = loadWin32();

  tryLock(fd: number, type: LockType, range: LockRange): boolean {
    const own = this.#own(fd, range);
    if (own?.type === type) return true;
    if (own?.type === 'shared') {
      throw new LockError(
        'ENOTSUP',
        `descriptor ${fd}`,
        'Windows cannot upgrade a shared lock without releasing it in between; acquire the exclusive lock first',
      );
    }
    const error = this.#api.lockFileEx(fd, FLAGS[type], BigInt(range.start), lengthOf(range));
    if (error === ERROR_LOCK_VIOLATION) return false;
    if (error !== 0) throw windowsError(`acquire the ${type} lock`, fd, error);
    // A downgrade: of two locks on the same bytes the first unlock releases the exclusive one.
    if (own !== undefined) this.#release(fd, range);
    noteLock({ driver: this, fd, type, range });
    return true;
  }

  unlock(fd: number, range: LockRange): void {
    this.#release(fd, range);
    noteUnlock(fd, range);
  }

  /** Windows reports no owner; only trying shows the type. */
  holder(fd: number, type: LockType, range: LockRange): LockHolder | undefined {
    if (this.#own(fd, range) === undefined) {
      if (this.#isFree(fd, type, range)) return undefined;
      if (this.#isFree(fd, 'shared', range)) return { type: 'shared', range };
    }
    return { type: 'exclusive', range };
  }

  /** Only locks of this process: to find others, every range of the file would have to be tried. */
  holders(fd: number, range: LockRange): LockHolder[] {
    return ownHolders(fd, range);
  }

  #isFree(fd: number, type: LockType, range: LockRange): boolean {
    if (!this.tryLock(fd, type, range)) return false;
    this.unlock(fd, range);
    return true;
  }

  #release(fd: number, range: LockRange): void {
    const error = this.#api.unlockFileEx(fd, BigInt(range.start), lengthOf(range));
    if (error !== 0) throw windowsError('release the lock', fd, error);
  }

  /** The lock that this descriptor holds on these bytes: Windows releases only whole locks. */
  #own(fd: number, range: LockRange): HeldLock | undefined {
    const own = locksOf(fd).find(lock => overlap(lock.range, range));
    if (own === undefined || sameRange(own.range, range)) return own;
    throw new LockError(
      'EINVAL',
      `descriptor ${fd}`,
      'Windows locks whole ranges only: these bytes are part of another lock of this descriptor',
    );
  }
}

/** Bytes to lock: "to the end" is as far as 64 bits reach, from 0 on all ones, as in the 2011 patch. */
export const lengthOf = ({ start, length }: LockRange): bigint =>
  length === 0 ? 0xffff_ffff_ffff_ffffn - BigInt(start) : BigInt(length);

function windowsError(what: string, fd: number, error: number): LockError {
  const path = `descriptor ${fd}`;
  const cause = Object.assign(new Error(`Windows error ${error}`), { errno: error });
  return NOT_OFFERED.includes(error)
    ? new LockError('ENOTSUP', path, `${path}: its file system offers no locks (error ${error})`, {
        cause,
      })
    : new LockError('SYSTEM', path, `${path}: cannot ${what}: Windows error ${error}`, { cause });
}
