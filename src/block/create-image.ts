/**
 * New image files. The descriptor that makes the file acquires guard and lock at once and keeps them
 * until the image is complete, so no other instance can use it half made. A file that another
 * instance locked first is never removed.
 * @module
 */
import { unlinkSync } from 'node:fs';
import { errnoOf, IoError } from '../errors.js';
import type { LockDriverFor, LockWait } from '../lock/lock.js';
import type { Trace } from '../trace.js';
import { type FileNode, openFile, syncFolderOf } from './file.js';
import { type GuardMode, takeGuard } from './guard.js';
import { bdrv_lock } from './lock.js';
import type { BlockNode } from './node.js';
import { type FormatQcow2Options, formatQcow2 } from './qcow2/create.js';
import { openQcow2 } from './qcow2/node.js';

/** A new image file: its format, locks and trace. */
export interface CreateImageOptions extends FormatQcow2Options {
  /** Whether an existing file is replaced. */
  readonly overwrite?: boolean;
  readonly imageLock?: GuardMode;
  readonly lockDriver?: LockDriverFor;
  readonly trace?: Trace;
}

const ONCE: LockWait = { timeoutMs: 0 };

/**
 * Makes a new qcow2 file with mode 0600, durable when this returns, and runs `act` on the image
 * before any other instance can. If either fails, the new file is removed.
 * @throws IoError (EEXIST unless `overwrite`); LockError LOCKED, and the file is left as it is;
 *   ImageError UNSUPPORTED; what `act` throws
 */
export function createImage<T>(
  path: string,
  options: CreateImageOptions,
  act: (image: BlockNode) => T,
): T {
  const { file, made } = openOrMake(path, options);
  try {
    const guard = takeGuard(file, 'writer', options.imageLock ?? 'auto');
    const lock = bdrv_lock(file, ONCE);
    if (made && lock.length > 0) throw new IoError('create', path, formattedByOther());
    // Only now is it certain that no other instance has stored in it.
    try {
      formatQcow2(file, options);
      const result = act(openQcow2(file));
      lock.release();
      syncFolderOf(path);
      guard.release();
      return result;
    } catch (error) {
      if (made && file.isAtItsPath()) unlinkSync(path);
      throw error;
    }
  } finally {
    file.close();
  }
}

/** Makes a new qcow2 file. @throws what createImage throws */
export const createQcow2 = (path: string, options: CreateImageOptions): void =>
  createImage(path, options, () => {});

/** Another process has formatted the new file before it was locked here. */
const formattedByOther = (): Error =>
  Object.assign(new Error('another process formatted it first'), { code: 'EEXIST' });

function openOrMake(
  path: string,
  { overwrite = false, trace, lockDriver }: CreateImageOptions,
): { readonly file: FileNode; readonly made: boolean } {
  const options = {
    ...(trace === undefined ? {} : { trace }),
    ...(lockDriver === undefined ? {} : { lockDriver }),
  };
  try {
    return { file: openFile(path, { ...options, create: 'new' }), made: true };
  } catch (error) {
    if (!overwrite || !(error instanceof IoError) || errnoOf(error.cause) !== 'EEXIST') throw error;
    return { file: openFile(path, options), made: false };
  }
}
