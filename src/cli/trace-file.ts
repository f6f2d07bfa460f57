/**
 * `--trace FILE`: events as JSON lines.
 * @module
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { IoError } from '../errors.js';
import type { Trace } from '../trace.js';
import { demandOtherFile } from './other-file.js';

/** A trace that appends JSON lines to a file that only its owner can read; `-` is standard error. */
export function openTrace(
  path: string | undefined,
  image: string | undefined,
): { trace: Trace; close: () => void } {
  if (path === undefined) return { trace: () => {}, close: () => {} };
  if (path !== '-') demandOtherFile('--trace', path, image);
  const fd = path === '-' ? 2 : openOwn(path);
  const start = performance.now();
  return {
    trace: event => {
      const at = Math.round((performance.now() - start) * 1000) / 1000;
      writeSync(fd, `${JSON.stringify({ at, ...event })}\n`);
    },
    close: () => {
      if (fd !== 2) closeSync(fd);
    },
  };
}

function openOwn(path: string): number {
  try {
    return openSync(path, 'w', 0o600);
  } catch (error) {
    throw new IoError('open', path, error);
  }
}
