/**
 * How the command speaks: short sentences for people, one JSON document for programs, and the exit
 * codes of EXIT_CODES for both.
 * @module
 */
import { writeSync } from 'node:fs';
import pc from 'picocolors';
import { errnoOf, IoError, NvtpmError, type Outcome } from '../errors.js';
import { EXIT_CODES } from './exit-codes.js';

/** What a subcommand found or did. */
export interface Result {
  /** Lines for people. */
  readonly lines: readonly string[];
  /** The same as data. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Default OK. */
  readonly outcome?: Outcome;
}

/** The user asked for something that makes no sense. */
export class UsageError extends NvtpmError {
  override readonly name = 'UsageError';
  readonly code = 'USAGE';
  readonly outcome = 'USAGE';
}

/** Prints a line; a subcommand that goes on calls it for people only. */
export const say = (text: string): void => print(1, text);

/** Prints a line about trouble, on standard error. */
export const warn = (text: string): void => print(2, `${pc.red('nvtpm:')} ${text}`);

function print(fd: number, text: string): void {
  try {
    writeSync(fd, `${text}\n`);
  } catch (error) {
    // The reader of a pipe has closed it.
    if (errnoOf(error) === 'EPIPE') return;
    throw new IoError('write', fd === 1 ? 'standard output' : 'standard error', error);
  }
}

/** Prints a result and gives the exit code. */
export function report({ lines, data, outcome = 'OK' }: Result, json: boolean): number {
  if (json) say(JSON.stringify(data, null, 2));
  else for (const line of lines) say(line);
  return EXIT_CODES[outcome];
}

/** Prints an error (on standard output as JSON, else on standard error) and gives the exit code. */
export function reportError(error: unknown, json: boolean): number {
  // Where standard output is full, the error of that is all that can still be reported.
  if (json && !isOutputFailure(error)) say(JSON.stringify({ error: describe(error) }, null, 2));
  else warn(describe(error).message);
  if (!(error instanceof NvtpmError) && error instanceof Error) writeSync(2, `${error.stack}\n`);
  return EXIT_CODES[outcomeOf(error)];
}

const isOutputFailure = (error: unknown): boolean =>
  error instanceof IoError && error.path === 'standard output';

export interface ErrorReport {
  /** One of the outcomes. */
  readonly code: Outcome;
  readonly exitCode: number;
  /** Which error of its class it is. */
  readonly detail: string;
  readonly message: string;
}

export function describe(error: unknown): ErrorReport {
  const code = outcomeOf(error);
  return {
    code,
    exitCode: EXIT_CODES[code],
    detail: error instanceof NvtpmError ? error.code : 'BUG',
    message: error instanceof Error ? error.message : String(error),
  };
}

const outcomeOf = (error: unknown): Outcome =>
  error instanceof NvtpmError ? error.outcome : 'FAILED';

/** Bytes as people read them: 64 KiB, 1 MiB, 300 bytes. */
export function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${units[unit]}`;
}

/** Bytes from the way qemu-img spells them: 512, 64k, 1M, 2G. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kKMGT]?)$/.exec(text);
  const factor = { '': 1, k: 2 ** 10, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
  const bytes = match ? Number(match[1]) * factor[match[2] as keyof typeof factor] : Number.NaN;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UsageError(`${text} is not a size; write it like 1M, 64M or 1G`);
}

/** Bytes in hex, spaces allowed. */
export function parseHex(text: string): Uint8Array {
  const digits = text.replaceAll(/[\s:]/g, '');
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(digits)) {
    throw new UsageError(`${text} is not a command; write its bytes in hex`);
  }
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
