/**
 * `--trace FILE`: events as JSON lines. A slow reader, a full disk or a closed pipe costs events, which
 * are counted, and never delays or ends the TPM.
 * @module
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { errnoOf, IoError } from '../errors.js';
import { noTrace, type Trace } from '../trace.js';
import { LineWriter } from './line-writer.js';
import { demandOtherFile } from './other-file.js';
import { lossOf, PATIENCE_MS, type Printer } from './output.js';

export interface OpenTrace {
  readonly trace: Trace;
  /** Writes what waits, closes the file, and warns of lost events once. */
  readonly close: () => void;
}

/**
 * A trace in a file that only its owner can read; `-` is standard error.
 * @param image the image of the command, which the file must not be
 * @throws UsageError, IoError
 */
export function openTrace(
  path: string | undefined,
  image: string | undefined,
  printer: Printer,
): OpenTrace {
  if (path === undefined) return { trace: noTrace, close: () => {} };
  if (path === '-') return { trace: intoLines(printer.log), close: () => {} };
  demandOtherFile('--trace', path, image);
  const fd = openOwn(path);
  const writer = new LineWriter({ write: bytes => writeSync(fd, bytes) });
  return {
    trace: intoLines(writer),
    close: () => {
      const loss = writer.drain(PATIENCE_MS);
      closeSync(fd);
      if (loss !== undefined) printer.warn(`${lossOf(path, loss.lines)} (${loss.errno})`);
    },
  };
}

function intoLines(writer: LineWriter): Trace {
  const start = performance.now();
  return event => {
    const at = Math.round((performance.now() - start) * 1000) / 1000;
    writer.push(JSON.stringify({ at, ...event }));
  };
}

/** Without blocking: a FIFO must not hold up the TPM when it is full. */
function openOwn(path: string): number {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK = 0 } = constants;
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o600);
  } catch (error) {
    const isUnread = errnoOf(error) === 'ENXIO';
    throw new IoError('open', path, isUnread ? new Error('no program reads this FIFO') : error);
  }
}
