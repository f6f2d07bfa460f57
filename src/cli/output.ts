/**
 * How the command speaks: short sentences for people, one JSON document for programs, and the exit
 * codes of EXIT_CODES for both.
 * @module
 */
import pc from 'picocolors';
import { errnoOf, IoError, NvtpmError, type Outcome } from '../errors.js';
import { EXIT_CODES } from './exit-codes.js';
import { LineWriter } from './line-writer.js';
import { pause } from './pause.js';
import type { Output, Surroundings } from './surroundings.js';

/** What a subcommand found or did. */
export interface Result {
  /** Lines for people. */
  readonly lines: readonly string[];
  /** The same as data. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Default OK. */
  readonly outcome?: Outcome;
}

/** An invalid command line. */
export class UsageError extends NvtpmError {
  override readonly name = 'UsageError';
  readonly code = 'USAGE';
  readonly outcome = 'USAGE';
}

/** Colours of one output; each leaves the text as it is where there are none. */
export type Paint = Pick<typeof pc, 'bold' | 'dim' | 'green' | 'red' | 'yellow'>;

export type Env = Surroundings['env'];

/** How long the end of a run waits for a reader of standard error or of a trace that takes nothing. */
export const PATIENCE_MS = 5000;

/** Prints for people or programs; a subcommand has one. */
export class Printer {
  /** Whether standard output is for one JSON document. */
  readonly json: boolean;
  readonly columns: number | undefined;
  /** The colours of standard output. */
  readonly paint: Paint;
  /** Standard error: what is said there waits for no reader. */
  readonly log: LineWriter;
  readonly #stdout: Output;
  readonly #label: string;
  #isClosed = false;

  constructor({ stdout, stderr, env }: Omit<Surroundings, 'stdin'>, json: boolean) {
    this.json = json;
    this.columns = stdout.columns;
    this.paint = pc.createColors(!json && hasColours(stdout, env));
    this.log = new LineWriter(stderr);
    this.#stdout = stdout;
    this.#label = pc.createColors(hasColours(stderr, env)).red('nvtpm:');
  }

  /** Whether the reader of standard output has closed it: what is printed now is discarded. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Prints a line on standard output, all of it. @throws IoError */
  say(text: string): void {
    this.print(`${text}\n`);
  }

  /** Prints a line about trouble, on standard error. */
  warn(text: string): void {
    this.log.push(`${this.#label} ${text}`);
  }

  /** Prints text on standard output, all of it, however slow its reader is. @throws IoError */
  print(text: string): void {
    if (this.#isClosed) return;
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) {
      try {
        at += this.#stdout.write(bytes.subarray(at));
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === 'EAGAIN') pause();
        else if (errno === 'EPIPE') {
          this.#isClosed = true;
          return;
        } else throw new IoError('write', STDOUT, error);
      }
    }
  }

  /** Prints a result. @returns the exit code @throws IoError */
  report({ lines, data, outcome = 'OK' }: Result): number {
    if (this.json) this.say(JSON.stringify(data, null, 2));
    else for (const line of lines) this.say(line);
    return EXIT_CODES[outcome];
  }

  /**
   * Prints an error: on standard output as JSON, else on standard error.
   * @returns the exit code
   */
  reportError(error: unknown): number {
    const isOutputFailure = error instanceof IoError && error.path === STDOUT;
    if (isOutputFailure && error.errno === 'EPIPE') return EXIT_CODES.IO;
    // Where standard output is full, standard error is all that is left.
    if (this.json && !isOutputFailure) {
      try {
        this.say(JSON.stringify({ error: describe(error) }, null, 2));
      } catch (second) {
        return this.reportError(second);
      }
    } else this.warn(describe(error).message);
    if (!(error instanceof NvtpmError) && error instanceof Error) this.log.push(`${error.stack}`);
    return EXIT_CODES[outcomeOf(error)];
  }

  /** Waits, for a limited time, until standard error has been read. */
  close(): void {
    const loss = this.log.drain(PATIENCE_MS);
    if (loss === undefined) return;
    this.warn(`${lossOf('standard error', loss.lines)} (${loss.errno})`);
    this.log.drain(0);
  }
}

const STDOUT = 'standard output';

/** The reader of standard output has closed it: a run that is for its output ends, without a message. */
export const stdoutClosed = (): IoError =>
  new IoError('write', STDOUT, Object.assign(new Error('broken pipe'), { code: 'EPIPE' }));

export const lossOf = (where: string, lines: number): string =>
  `${where}: ${lines} ${lines === 1 ? 'line was' : 'lines were'} lost`;

/** NO_COLOR (no-color.org) and FORCE_COLOR, else colours for terminals that have them. */
function hasColours({ isTerminal }: Output, env: Env): boolean {
  if (env['NO_COLOR']) return false;
  if (env['FORCE_COLOR']) return env['FORCE_COLOR'] !== '0';
  return isTerminal && env['TERM'] !== 'dumb';
}

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
