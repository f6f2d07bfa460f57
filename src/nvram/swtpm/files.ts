/**
 * Reading and writing whole files of state: bounded by a limit when read, durable when written.
 * @module
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf, IoError } from '../../errors.js';
import { SwtpmError } from './errors.js';

/** Runs a file operation. @throws IoError */
export function io<T>(operation: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new IoError(operation, path, error);
  }
}

/** A file that is open for reading. */
export interface OpenState {
  readonly path: string;
  readonly stats: Stats;
  /** The bytes at an offset: fewer than `length` only where the file ends. @throws IoError */
  read(offset: number, length: number): Uint8Array;
}

/**
 * Opens a file for `act`. A pipe or a terminal would block, so what is not a file is refused.
 * @returns undefined where there is no such file
 * @throws SwtpmError MALFORMED; IoError
 */
export function withFile<T>(path: string, act: (file: OpenState) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new IoError('open', path, error);
  }
  try {
    const stats = io('use', path, () => fstatSync(fd));
    if (!stats.isFile() && !stats.isBlockDevice()) {
      throw new SwtpmError('MALFORMED', path, 'it is not a file');
    }
    return act({
      path,
      stats,
      read: (offset, length) => io('read', path, () => readFully(fd, offset, length)),
    });
  } finally {
    closeSync(fd);
  }
}

function readFully(fd: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const count = readSync(fd, bytes, at, length - at, offset + at);
    if (count === 0) break;
    at += count;
  }
  return bytes.slice(0, at);
}

/**
 * A whole file; undefined where there is none.
 * @throws SwtpmError MALFORMED where it is longer than `limit`; IoError
 */
export function readWhole(path: string, limit: number): Uint8Array | undefined {
  return withFile(path, ({ stats, read }) => {
    if (stats.size > limit) {
      const why = `${stats.size} bytes are more than a state has (${limit})`;
      throw new SwtpmError('MALFORMED', path, why);
    }
    return read(0, stats.size);
  });
}

/**
 * Replaces a file: the old content is there until the new one is durable. The file is for its owner only.
 * @throws IoError
 */
export function writeDurably(path: string, bytes: Uint8Array): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  try {
    io('write', path, () => {
      rmSync(temporary, { force: true });
      const fd = openSync(temporary, flags, 0o600);
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    });
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** Deletes a file, durably; an absent one is fine. @throws IoError */
export function deleteDurably(path: string): void {
  io('remove', path, () => rmSync(path, { force: true }));
  syncFolder(dirname(path));
}

/** Makes what was renamed or removed in a folder durable. Windows has no such call. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  io('fsync', path, () => {
    const fd = openSync(path, constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  });
}
