/**
 * `nvtpm trace`: a trace as a time line for people. It follows a file with `-f`, and a pipe with `-`:
 * `nvtpm run … --trace - 2>&1 >/dev/null | nvtpm trace -`.
 * @module
 */
import { createReadStream, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { linesOf } from '../command-input.js';
import { follow } from '../follow.js';
import { flag } from '../options.js';
import { type Printer, UsageError } from '../output.js';
import { untilSignal } from '../signals.js';
import { subcommand } from '../subcommand.js';
import { type Timed, Timeline } from '../timeline.js';

export const trace = subcommand({
  name: 'trace',
  summary: 'show what --trace has written, as a time line',
  arguments: { '<file>': 'the trace; - for standard input' },
  options: {
    follow: flag('-f, --follow', 'wait for more of a file that grows, until SIGINT or SIGTERM'),
    all: flag('--all', 'show reads, writes and locks of the image too'),
  },
  isOnImage: false,
  example: `nvtpm exec tpm.qcow2 00c10000000e0000004600000008 --trace t.json
nvtpm trace t.json
nvtpm trace -f t.json`,
  run: async ({ file, options, printer, stdin }) => {
    const view = new View(file, options.all, printer);
    if (options.follow && isRegular(file)) await untilSignal(signal => followed(view, signal));
    else await readWhole(view, stdin);
    view.flush();
    return { lines: [], data: { events: view.events, lines: view.lines } };
  },
});

/** Of another file, such as a pipe, the writers say when it ends. */
function isRegular(file: string): boolean {
  if (file === '-') return false;
  try {
    return statSync(file).isFile();
  } catch {
    // Opening it reports why.
    return true;
  }
}

/** What is shown of a trace: line by line, or as one document at the end. */
class View {
  readonly file: string;
  readonly printer: Printer;
  /** What a document has. */
  readonly lines: string[] = [];
  readonly #timeline: Timeline;
  #events = 0;
  #line = 0;

  constructor(file: string, everything: boolean, printer: Printer) {
    this.file = file;
    this.printer = printer;
    this.#timeline = new Timeline(everything, printer.paint);
  }

  get events(): number {
    return this.#events;
  }

  /** @throws UsageError for what is no event; IoError */
  push(text: string): void {
    this.#line += 1;
    this.#show(this.#timeline.push(eventOf(text, this.file, this.#line)));
    this.#events += 1;
  }

  /** Shows the last line, which the next event might have repeated. */
  flush(): void {
    this.#show(this.#timeline.end());
  }

  /** The file begins anew. */
  restart(): void {
    this.flush();
    this.#line = 0;
    this.printer.warn(`${this.file}: the file was truncated; it is read from its start`);
  }

  #show(lines: readonly string[]): void {
    if (this.printer.json) this.lines.push(...lines);
    else for (const line of lines) this.printer.say(line);
  }
}

async function readWhole(view: View, stdin: Readable): Promise<void> {
  const { file, printer } = view;
  const input = file === '-' ? stdin : createReadStream(file);
  for await (const text of linesOf(input, file === '-' ? 'standard input' : file)) {
    view.push(text);
    if (printer.isClosed) break;
  }
  input.destroy();
}

/** Ends when `signal` is aborted, or the reader of standard output has closed it. */
async function followed(view: View, signal: AbortSignal): Promise<void> {
  for await (const found of follow(view.file, signal)) {
    if (found.kind === 'line') view.push(found.text);
    else if (found.kind === 'idle') view.flush();
    else view.restart();
    if (view.printer.isClosed) return;
  }
}

/** @throws UsageError */
function eventOf(text: string, path: string, line: number): Timed {
  const found = parse(text);
  if (found !== undefined && isTimed(found)) return found;
  throw new UsageError(`${path}, line ${line}: not a trace event; --trace FILE writes traces`);
}

type Fields = Readonly<Record<string, unknown>>;

function parse(text: string): Fields | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

/** What the time line reads of the events that are more than words. */
const SHAPES: ReadonlyMap<unknown, (event: Fields) => boolean> = new Map([
  [
    'register',
    ({ address, size, value }: Fields) =>
      isInteger(address) &&
      (size === 1 || size === 2 || size === 4) &&
      (value === undefined || (isInteger(value) && value >= 0)),
  ],
  ['command', ({ name, result }: Fields) => typeof name === 'string' && isInteger(result)],
]);

function isTimed(event: Fields): event is Fields & Timed {
  const { event: name, at } = event;
  if (typeof name !== 'string' || !Number.isFinite(at)) return false;
  return SHAPES.get(name)?.(event) ?? true;
}
