/**
 * A trace as a time line for people: registers by name, values by the fields that say something,
 * repetitions and runs of FIFO bytes in one line.
 * @module
 */
import { RESULT, resultName } from '../guest/index.js';
import {
  LOCALITY_SPACE,
  type RegisterName,
  SLOTS,
  TIS,
  TIS_BASE,
  TIS_SPACE,
} from '../tis/registers.js';
import type { TraceEvent } from '../trace.js';
import type { Paint } from './output.js';

/** An event as it is in a trace file: with its time in milliseconds. */
export type Timed = TraceEvent & { readonly at: number };

type Access = Extract<TraceEvent, { event: 'register' }>;

/** What a line is about, and its text for a number of repetitions. */
interface Entry {
  readonly at: number;
  /** Entries of the same key, one after another, become one line. */
  readonly key: string;
  readonly bytes: number;
  readonly text: (times: number, bytes: number) => string;
}

/** Events of the layers below the registers: many, and shown only on demand. */
const IMAGE_EVENTS: readonly string[] = ['lock', 'unlock', 'read', 'write', 'flush', 'validate'];

export class Timeline {
  readonly #everything: boolean;
  readonly #paint: Paint;
  #last: Entry | undefined;
  #times = 0;
  #bytes = 0;

  /** @param everything whether the image's reads, writes and locks are shown too */
  constructor(everything: boolean, paint: Paint) {
    this.#everything = everything;
    this.#paint = paint;
  }

  /** The lines that this event completes. */
  push(event: Timed): string[] {
    if (!this.#everything && IMAGE_EVENTS.includes(event.event)) return [];
    const entry = entryOf(event, this.#paint);
    if (this.#last?.key === entry.key) {
      this.#times += 1;
      this.#bytes += entry.bytes;
      return [];
    }
    const lines = this.end();
    [this.#last, this.#times, this.#bytes] = [entry, 1, entry.bytes];
    return lines;
  }

  /** The last line. */
  end(): string[] {
    if (this.#last === undefined) return [];
    const { at, text } = this.#last;
    this.#last = undefined;
    return [`${at.toFixed(3).padStart(10)}  ${text(this.#times, this.#bytes)}`.trimEnd()];
  }
}

function entryOf(event: Timed, paint: Paint): Entry {
  const { at } = event;
  if (event.event === 'register') return { at, ...registerEntry(event) };
  const text = textOf(event, paint);
  return { at, key: text, bytes: 0, text: times => text + repeated(times) };
}

const repeated = (times: number): string => (times > 1 ? `  × ${times}` : '');

function registerEntry({ access, address, size, value }: Access): Omit<Entry, 'at'> {
  const offset = address - TIS_BASE;
  const arrow = access === 'write' ? '<-' : '->';
  const within = offset >= 0 && offset + size <= TIS_SPACE;
  const name = within ? SLOTS[(offset % LOCALITY_SPACE) >>> 2] : undefined;
  const locality = within ? `L${Math.floor(offset / LOCALITY_SPACE)}` : '  ';
  const place = name ?? `0x${address.toString(16)}`;
  const head = `${locality}  ${place.padEnd(15)} ${arrow}`;
  if (value === undefined) {
    return {
      key: head,
      bytes: size,
      text: (_, bytes) => `${head} ${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`,
    };
  }
  const digits = value.toString(16).padStart(2 * size, '0');
  const fields = name === undefined ? '' : fieldsOf(name, access, offset & 3, size, value);
  const text = `${head} ${digits.padEnd(8)}  ${fields}`.trimEnd();
  return { key: text, bytes: size, text: times => text + repeated(times) };
}

/** Of a read the fields that differ from reset; of a write those that have an effect. */
function fieldsOf(
  name: RegisterName,
  access: Access['access'],
  shift: number,
  size: number,
  value: number,
): string {
  const placed = value * 0x100 ** shift;
  const said: string[] = [];
  for (const [field, { hi, lo, access: rule, reset }] of Object.entries(TIS[name].fields)) {
    // A partial access has only the fields within its bytes.
    if (lo < 8 * shift || hi >= 8 * (shift + size)) continue;
    const found = Math.floor(placed / 2 ** lo) % 2 ** (hi - lo + 1);
    const tells = access === 'read' ? found !== reset : found !== 0 && rule !== 'ro';
    if (tells) said.push(hi === lo && found === 1 ? field : `${field} ${found}`);
  }
  return said.join(', ');
}

function textOf(event: Exclude<TraceEvent, Access>, paint: Paint): string {
  switch (event.event) {
    case 'locality':
      return event.active === undefined
        ? '--  no locality is active'
        : `L${event.active}  is active`;
    case 'command': {
      const { name, locality, result } = event;
      const colour = result === RESULT.SUCCESS ? paint.green : paint.red;
      return `L${locality}  ${paint.bold(name)}: ${colour(resultName(result))}`;
    }
    case 'power':
      return `    power ${event.to}`;
    default:
      return `    ${othersOf(event)}`;
  }
}

/** An event of another layer, or one that this version does not know. */
function othersOf({ event, ...rest }: Record<string, unknown> & { event: string }): string {
  const { at: _, path: __, ...facts } = rest;
  const words = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  return `${event} ${words.join(', ')}`.trimEnd();
}
