/**
 * Locks that this process holds, by descriptor and by file (device and inode), for flavours whose
 * locks the system does not keep apart: POSIX locks belong to the process, so two of its
 * descriptors would share one, and closing either would drop it for both (fcntl(2)); on Windows an
 * unlock must name exactly the range that was locked. OFD locks need none of this and are not
 * registered.
 *
 * Every image file is closed by closeFile(), which knows what another descriptor still holds.
 * @module
 */
import { closeSync, fstatSync } from 'node:fs';
import type { LockDriver, LockRange, LockType } from './lock.js';
import { overlap, subtract } from './range.js';

export interface HeldLock {
  readonly driver: LockDriver;
  readonly fd: number;
  readonly type: LockType;
  readonly range: LockRange;
}

/** Descriptors that hold locks, with at least one lock each. */
const locksByFd = new Map<number, readonly HeldLock[]>();
/** The same descriptors by file, except those in `unindexed`. */
const fdsByFile = new Map<string, Set<number>>();
const fileByFd = new Map<number, string>();
/** Descriptors whose file has not been looked up yet: only a second descriptor makes it matter. */
const unindexed = new Set<number>();
/** Descriptors by file whose close must wait, because it would drop another one's POSIX lock. */
const closing = new Map<string, number[]>();

/** Device and inode; undefined for a descriptor that other code has closed. */
function fileOf(fd: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

function index(): void {
  for (const fd of unindexed) {
    const file = fileOf(fd);
    if (file === undefined) continue;
    fileByFd.set(fd, file);
    fdsByFile.set(file, (fdsByFile.get(file) ?? new Set()).add(fd));
  }
  unindexed.clear();
}

function unindex(fd: number): void {
  unindexed.delete(fd);
  const file = fileByFd.get(fd);
  if (file === undefined) return;
  fileByFd.delete(fd);
  const fds = fdsByFile.get(file);
  fds?.delete(fd);
  if (fds?.size === 0) fdsByFile.delete(file);
}

function setLocks(fd: number, locks: readonly HeldLock[]): void {
  if (locks.length === 0) {
    locksByFd.delete(fd);
    unindex(fd);
    return;
  }
  if (!locksByFd.has(fd)) unindexed.add(fd);
  locksByFd.set(fd, locks);
}

export const locksOf = (fd: number): readonly HeldLock[] => locksByFd.get(fd) ?? [];

/** Locks on the same file that other descriptors of this process hold. */
export function locksBeside(fd: number): readonly HeldLock[] {
  if (locksByFd.size === (locksByFd.has(fd) ? 1 : 0)) return [];
  index();
  const file = fileByFd.get(fd) ?? fileOf(fd);
  const beside = file === undefined ? undefined : fdsByFile.get(file);
  return [...(beside ?? [])].filter(each => each !== fd).flatMap(locksOf);
}

/** The lock of another descriptor of this process that forbids this one. */
export const conflictOf = (fd: number, type: LockType, range: LockRange): HeldLock | undefined =>
  locksBeside(fd).find(
    each => overlap(each.range, range) && (type === 'exclusive' || each.type === 'exclusive'),
  );

/** Records that `range` is now locked this way. */
export function noteLock(lock: HeldLock): void {
  setLocks(lock.fd, [...without(lock.fd, lock.range), lock]);
}

/** Records that `range` is unlocked; parts of locks outside of it remain. */
export function noteUnlock(fd: number, range: LockRange): void {
  setLocks(fd, without(fd, range));
}

const without = (fd: number, range: LockRange): readonly HeldLock[] =>
  locksOf(fd).flatMap(lock =>
    subtract(lock.range, [range]).map(rest => ({ ...lock, range: rest })),
  );

/** Closes descriptors whose file has no lock left. Called after an unlock. */
export function closeDeferred(): void {
  if (closing.size === 0) return;
  index();
  for (const [file, fds] of closing) {
    if (fdsByFile.has(file)) continue;
    closing.delete(file);
    for (const fd of fds) closeSync(fd);
  }
}

/**
 * Closes a descriptor, which releases its own locks only: while another descriptor of this process
 * holds a POSIX lock on the same file, the system's close is deferred until that is released.
 * @throws LockError SYSTEM where a lock could not be released first; the descriptor is closed
 */
export function closeFile(fd: number): void {
  try {
    for (const { driver, range } of locksOf(fd)) {
      noteUnlock(fd, range);
      driver.unlock(fd, range);
    }
  } finally {
    setLocks(fd, []);
    closeOrDefer(fd);
  }
}

function closeOrDefer(fd: number): void {
  const beside = locksBeside(fd).some(({ driver }) => driver.flavour === 'posix');
  const file = beside ? fileOf(fd) : undefined;
  if (file === undefined) closeSync(fd);
  else closing.set(file, [...(closing.get(file) ?? []), fd]);
}
