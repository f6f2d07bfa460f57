/**
 * What a process has around it, as an argument of the command, so that a test can be the terminal.
 * @module
 */
import { writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { isatty } from 'node:tty';

/** Where bytes go: a file descriptor, or a test. */
export interface Output {
  readonly isTerminal: boolean;
  /** Characters in a line of the terminal; undefined where there is none. */
  readonly columns: number | undefined;
  /**
   * Writes what the output takes now.
   * @returns how many bytes it took
   * @throws the system's error: EAGAIN where it takes none now, EPIPE where its reader is gone, …
   */
  write(bytes: Uint8Array): number;
}

export interface Surroundings {
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const processSurroundings: Surroundings = {
  get stdin() {
    return process.stdin;
  },
  get stdout() {
    return descriptor(1, () => process.stdout);
  },
  get stderr() {
    return descriptor(2, () => process.stderr);
  },
  env: process.env,
};

/** The streams of `process` are asked for only where they are needed: they take time to load. */
function descriptor(fd: 1 | 2, stream: () => NodeJS.WriteStream): Output {
  const isTerminal = isatty(fd);
  return {
    isTerminal,
    columns: isTerminal ? stream().columns : undefined,
    write: bytes => {
      // Node makes a pipe non-blocking with its own stream for it: a trace must not wait for a reader.
      if (fd === 2) stream();
      return writeSync(fd, bytes);
    },
  };
}
