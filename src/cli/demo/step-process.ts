/**
 * A step of the demonstration as a process: its evidence is JSON documents on its standard output.
 * @module
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { NvtpmError, type Outcome } from '../../errors.js';
import { EXIT_CODES } from '../exit-codes.js';
import type { ErrorReport } from '../output.js';

const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));

/** A step that failed: the demonstration ends there. */
export class StepError extends NvtpmError {
  override readonly name = 'StepError';
  readonly code = 'STEP';
  readonly outcome: Outcome;

  constructor(step: string, { code, message }: Pick<ErrorReport, 'code' | 'message'>) {
    super(`step ‘${step}’: ${message}`);
    this.outcome = Object.hasOwn(EXIT_CODES, code) ? code : 'FAILED';
  }
}

export class StepProcess {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #documents: AsyncIterator<object>;
  readonly #ended: Promise<string>;

  constructor(name: string, image: string, socket: string) {
    this.#name = name;
    const args = [PROGRAM, 'demo-step', image, name, socket, '--json'];
    this.#child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    // Its end is seen on its standard output.
    this.#child.stdin.on('error', () => {});
    this.#documents = documents(this.#child.stdout);
    this.#ended = new Promise(resolve => {
      this.#child.once('error', error => resolve(`it cannot be started: ${error.message}`));
      this.#child.once('exit', (code, signal) =>
        resolve(signal === null ? `it ended with exit code ${code}` : `${signal} ended it`),
      );
    });
  }

  /**
   * Its next evidence. The type is that of the step of this name, which is this same program.
   * @throws StepError
   */
  async next<T extends object>(): Promise<T> {
    const document = await this.#next();
    const error = errorIn(document);
    if (error !== undefined) throw new StepError(this.#name, error);
    return document as T;
  }

  /** Sends a word and waits for its answer. @throws StepError */
  ask<T extends object>(word: string): Promise<T> {
    this.#child.stdin.write(`${word}\n`);
    return this.next();
  }

  /** The error that it must end with; undefined if it showed evidence instead. */
  async refusal(): Promise<ErrorReport | undefined> {
    return errorIn(await this.#next());
  }

  /** Waits for its end. */
  async ended(): Promise<void> {
    await this.#ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #next(): Promise<object> {
    const { value, done } = await this.#documents.next();
    if (!done) return value;
    throw new StepError(this.#name, { code: 'FAILED', message: await this.#ended });
  }
}

const errorIn = (document: { readonly error?: ErrorReport }): ErrorReport | undefined =>
  document.error;

/** The documents of a stream; each begins on a new line. */
async function* documents(input: Readable): AsyncGenerator<object> {
  let text = '';
  for await (const line of createInterface({ input })) {
    text += line;
    const document = parse(text);
    if (document === undefined) continue;
    yield document;
    text = '';
  }
}

function parse(text: string): object | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
