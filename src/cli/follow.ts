/**
 * A file that grows, read as `tail -f` reads it.
 * @module
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { IoError } from '../errors.js';

/** How often a file is looked at: file systems without change events, such as NFS, are followed too. */
const INTERVAL_MS = 100;
const CHUNK_BYTES = 64 * 1024;
/** A longer line is given as it is, so that a file without line ends takes no more memory. */
const LINE_BYTES_MAX = 1024 * 1024;

const NEWLINE = 0x0a;

/** What following a file finds. */
export type Followed =
  | { readonly kind: 'line'; readonly text: string }
  /** Everything is read that is there. A line without an end waits for it. */
  | { readonly kind: 'idle' }
  /** The file is shorter than before: it is read from its start again. */
  | { readonly kind: 'truncated' };

/** The lines of a file that another process writes to, until `signal` is aborted. @throws IoError */
export async function* follow(path: string, signal: AbortSignal): AsyncGenerator<Followed> {
  const fd = on(path, 'open', () => openSync(path, 'r'));
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let [at, rest] = [0, Buffer.alloc(0)];
  try {
    while (!signal.aborted) {
      const { size } = on(path, 'read', () => fstatSync(fd));
      if (size < at) {
        [at, rest] = [0, Buffer.alloc(0)];
        yield { kind: 'truncated' };
      }
      const length = on(path, 'read', () => readSync(fd, chunk, 0, CHUNK_BYTES, at));
      if (length === 0) {
        yield { kind: 'idle' };
        await delay(INTERVAL_MS, undefined, { signal }).catch(() => {});
        continue;
      }
      at += length;
      const bytes = Buffer.concat([rest, chunk.subarray(0, length)]);
      const end = bytes.length > LINE_BYTES_MAX ? bytes.length : bytes.lastIndexOf(NEWLINE) + 1;
      rest = bytes.subarray(end);
      if (end === 0) continue;
      const text = bytes.toString('utf8', 0, end).replace(/\n$/, '');
      for (const line of text.split('\n')) yield { kind: 'line', text: line };
      // Signals are noticed between two turns, also while much is left to read.
      await nextTurn();
    }
  } finally {
    closeSync(fd);
  }
}

function on<T>(path: string, what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new IoError(what, path, error);
  }
}
