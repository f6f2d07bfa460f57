/**
 * Writes that touch each other, made into one: a system call and a disk request fewer. The memory is
 * one for the thread and used again for every commit, since fresh pages cost more than the copying.
 * @module
 */
import { concat } from '../../wire/codec.js';
import { PAGE_BYTES } from './layout.js';
import type { Write } from './place.js';

const memory = new Uint8Array(16 * PAGE_BYTES);

/** Calls `write` for each run of adjoining `writes`, in order. Its bytes are valid during the call. */
export function writeJoined(
  writes: readonly Write[],
  write: (offset: number, bytes: Uint8Array) => void,
): void {
  const sorted = [...writes].sort((a, b) => a[0] - b[0]);
  for (let from = 0; from < sorted.length; ) {
    const [offset, first] = sorted[from]!;
    let to = from + 1;
    let length = first.length;
    while (to < sorted.length && sorted[to]![0] === offset + length) {
      length += sorted[to]![1].length;
      to += 1;
    }
    if (to === from + 1) write(offset, first);
    else writeRun(offset, sorted.slice(from, to), length, write);
    from = to;
  }
}

function writeRun(
  offset: number,
  run: readonly Write[],
  length: number,
  write: (offset: number, bytes: Uint8Array) => void,
): void {
  const parts = run.map(([, bytes]) => bytes);
  const bytes = length > memory.length ? concat(...parts) : gathered(parts, length);
  try {
    write(offset, bytes);
  } finally {
    // A blob that is not encrypted may hold secrets.
    bytes.fill(0);
  }
}

function gathered(parts: readonly Uint8Array[], length: number): Uint8Array {
  let at = 0;
  for (const part of parts) {
    memory.set(part, at);
    at += part.length;
  }
  return memory.subarray(0, length);
}
