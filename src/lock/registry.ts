/**
 * Which locks this process holds, by file (device and inode) and descriptor: what the system does
 * not keep apart. POSIX locks belong to the process, so two of its descriptors would share one, and
 * closing either would drop it for both (fcntl(2)); on Windows an unlock must name exactly what was
 * locked. Locks of the open file description need none of this and are not registered.
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

let held: readonly HeldLock[] = [];
/** Descriptors whose close must wait, because it would drop a POSIX lock of another one. */
let closing: readonly { readonly fd: number; readonly file: string | undefined }[] = [];

/** Device and inode: asked only where two descriptors have to be compared. */
function fileOf(fd: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined; // Somebody has closed it past us: it is no file's any more.
  }
}

export const locksOf = (fd: number): readonly HeldLock[] => held.filter(each => each.fd === fd);

/** Locks on the same file that other descriptors of this process hold. */
export function locksBeside(fd: number): readonly HeldLock[] {
  const others = held.filter(each => each.fd !== fd);
  if (others.length === 0) return [];
  const file = fileOf(fd);
  return others.filter(each => fileOf(each.fd) === file);
}

/** The lock of another descriptor of this process that forbids this one. */
export const rivalOf = (fd: number, type: LockType, range: LockRange): HeldLock | undefined =>
  locksBeside(fd).find(
    each => overlap(each.range, range) && (type === 'exclusive' || each.type === 'exclusive'),
  );

/** Notes that `range` is now locked this way. */
export function noteLock(lock: HeldLock): void {
  noteUnlock(lock.fd, lock.range);
  held = [...held, lock];
}

/** Notes that `range` is not locked any more; parts of locks outside of it remain. */
export function noteUnlock(fd: number, range: LockRange): void {
  held = held.flatMap(lock =>
    lock.fd === fd ? subtract(lock.range, [range]).map(rest => ({ ...lock, range: rest })) : [lock],
  );
}

/** Closes what had to wait and need not any more. Called after an unlock. */
export function closeWaiting(): void {
  if (closing.length === 0) return;
  const locked = new Set(held.map(lock => fileOf(lock.fd)));
  const due = closing.filter(({ file }) => !locked.has(file));
  closing = closing.filter(each => !due.includes(each));
  for (const { fd } of due) closeSync(fd);
}

/**
 * Closes a descriptor, which gives its own locks back and nobody else's: while another descriptor
 * of this process holds a POSIX lock on the same file, the system's close waits for its end.
 */
export function closeFile(fd: number): void {
  for (const { driver, range } of locksOf(fd)) {
    noteUnlock(fd, range);
    driver.unlock(fd, range);
  }
  if (locksBeside(fd).some(({ driver }) => driver.flavour === 'posix')) {
    closing = [...closing, { fd, file: fileOf(fd) }];
  } else {
    closeSync(fd);
  }
}
