/**
 * `nvtpm trace`: what is in a trace, as a time line for people. With `-` it reads along:
 * `nvtpm run … --trace - 2>&1 >/dev/null | nvtpm trace -`.
 * @module
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { IoError } from '../../errors.js';
import { type Result, say, UsageError } from '../output.js';
import { type Timed, Timeline } from '../timeline.js';

export interface TraceOptions {
  /** Whether what happens to the image is shown too. */
  readonly all: boolean;
  readonly json: boolean;
}

export async function trace(path: string, { all, json }: TraceOptions): Promise<Result> {
  const timeline = new Timeline(all);
  const lines: string[] = [];
  const show = (text: string): void => {
    if (json) lines.push(text);
    else say(text);
  };
  let count = 0;
  for await (const text of linesOf(path)) {
    count += 1;
    for (const line of timeline.push(eventOf(text, path, count))) show(line);
  }
  for (const line of timeline.end()) show(line);
  return { lines: [], data: { events: count, lines } };
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const input = path === '-' ? process.stdin : createReadStream(path);
  const trouble = new Promise<never>((_, reject) => {
    input.once('error', (error: unknown) => reject(new IoError('read', path, error)));
  });
  const lines = createInterface({ input })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await Promise.race([lines.next(), trouble]);
    if (done) return;
    yield value;
  }
}

function eventOf(text: string, path: string, line: number): Timed {
  const found = parse(text);
  const name = found?.['event'];
  if (found !== undefined && typeof name === 'string' && Number.isFinite(found['at'])) {
    const sound = Object.hasOwn(SHAPES, name) ? SHAPES[name]! : () => true;
    if (sound(found)) return found as unknown as Timed;
  }
  throw new UsageError(`${path}, line ${line}: this is no trace; --trace FILE makes one`);
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

/** What has to be there of the events that are more than words. */
const SHAPES: Readonly<Record<string, (event: Record<string, unknown>) => boolean>> = {
  register: ({ address, size, value }) =>
    isInteger(address) &&
    [1, 2, 4].includes(size as number) &&
    (value === undefined || (isInteger(value) && value >= 0)),
  command: ({ name, result }) => typeof name === 'string' && isInteger(result),
};
