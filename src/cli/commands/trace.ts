/**
 * `nvtpm trace`: a trace as a time line for people. With `-` it follows one as it is written:
 * `nvtpm run … --trace - 2>&1 >/dev/null | nvtpm trace -`.
 * @module
 */
import { createReadStream } from 'node:fs';
import { linesOf } from '../command-input.js';
import { flag } from '../options.js';
import { UsageError } from '../output.js';
import { subcommand } from '../subcommand.js';
import { type Timed, Timeline } from '../timeline.js';

export const trace = subcommand({
  name: 'trace',
  summary: 'show what --trace has written, as a time line',
  arguments: { '<file>': 'the trace; - for standard input' },
  options: { all: flag('--all', 'show reads, writes and locks of the image too') },
  isOnImage: false,
  example: `nvtpm exec tpm.qcow2 00c10000000e0000004600000008 --trace t.json
nvtpm trace t.json`,
  run: async ({ file, options, printer, stdin }) => {
    const timeline = new Timeline(options.all, printer.paint);
    const lines: string[] = [];
    const show = (text: string): void => {
      if (printer.json) lines.push(text);
      else printer.say(text);
    };
    let count = 0;
    const input = file === '-' ? stdin : createReadStream(file);
    for await (const text of linesOf(input, file === '-' ? 'standard input' : file)) {
      count += 1;
      for (const line of timeline.push(eventOf(text, file, count))) show(line);
      if (printer.isClosed) break;
    }
    input.destroy();
    for (const line of timeline.end()) show(line);
    return { lines: [], data: { events: count, lines } };
  },
});

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
