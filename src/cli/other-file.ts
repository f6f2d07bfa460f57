/**
 * Files that a command writes beside the image, `--trace` and `--pid`: never the image itself, by
 * whatever name, nor any other qcow2 image.
 * @module
 */
import { closeSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { isQcow2 } from '../block/index.js';
import { UsageError } from './output.js';

/**
 * Refuses a file that is an image.
 * @param option as the user spelt it, for the message
 * @param image the image of the command, which need not exist yet
 * @throws UsageError
 */
export function demandOtherFile(option: string, path: string, image: string | undefined): void {
  const refuse = (what: string): never => {
    throw new UsageError(
      `${option} ${path}: this is ${what}, and it would be overwritten; name another file`,
    );
  };
  const file = statOf(path);
  if (image !== undefined) {
    const other = statOf(image);
    const same = file !== undefined && file.dev === other?.dev && file.ino === other.ino;
    if (same || resolve(path) === resolve(image)) refuse('the image itself');
  }
  if (file?.isFile() && isQcow2(firstBytes(path))) refuse('a qcow2 image');
}

/** Nothing where the path cannot be followed, which opening it will report. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** The magic of a file; nothing where it cannot be read, which opening it will report. */
function firstBytes(path: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    return bytes.subarray(0, readSync(fd, bytes));
  } catch {
    return new Uint8Array();
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
