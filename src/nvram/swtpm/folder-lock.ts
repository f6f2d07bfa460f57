/**
 * swtpm's lock of a state directory: a write lock over the whole file `.lock`, which stays there. swtpm
 * 0.7.1 takes it when the TPM is initialised and holds it until it ends. Its POSIX lock and a lock of
 * the open file description exclude each other.
 * @module
 */
import { constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, IoError } from '../../errors.js';
import { closeFile, type LockWait, lock, lockDriverFor, WHOLE_FILE } from '../../lock/index.js';

export interface FolderLock {
  /** Idempotent. */
  release(): void;
}

/** @throws LockError LOCKED with the holder; ENOTSUP; IoError */
export function lockFolder(folder: string, wait: LockWait): FolderLock {
  const path = join(folder, '.lock');
  const fd = openLock(path);
  if (fd === undefined) return { release: () => {} };
  let isHeld = true;
  const release = (): void => {
    if (isHeld) closeFile(fd);
    isHeld = false;
  };
  try {
    lock(lockDriverFor(fd), { fd, path, type: 'exclusive', range: WHOLE_FILE }, wait);
    return { release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Undefined on a read-only file system, where no swtpm can run. */
function openLock(path: string): number | undefined {
  try {
    // Windows has no O_NOFOLLOW.
    const flags = constants.O_WRONLY | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0);
    return openSync(path, flags, 0o660);
  } catch (error) {
    if (errnoOf(error) === 'EROFS') return undefined;
    throw new IoError('open', path, error);
  }
}
