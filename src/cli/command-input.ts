/**
 * TPM commands from arguments, files and standard input. In a file each line is a command in hex;
 * spaces are allowed, `#` begins a comment, and empty lines are ignored.
 * @module
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { IoError } from '../errors.js';
import { UsageError } from './output.js';
import { parseHex } from './values.js';

/** Digits of a message that says what is wrong with a command. */
const SHOWN_MAX = 40;

/**
 * @param args each a command in hex, `@FILE`, or `-` for standard input
 * @throws UsageError, IoError
 */
export async function readCommands(
  args: readonly string[],
  stdin: Readable,
): Promise<Uint8Array[]> {
  const commands: Uint8Array[] = [];
  for (const arg of args) {
    if (arg === '-') commands.push(...(await fromLines(stdin, 'standard input')));
    else if (arg.startsWith('@')) {
      commands.push(...(await fromLines(createReadStream(arg.slice(1)), arg.slice(1))));
    } else commands.push(read(arg, 'invalid command'));
  }
  if (commands.length > 0) return commands;
  throw new UsageError(`${args.join(' ')}: there is no command in it`);
}

async function fromLines(input: Readable, name: string): Promise<Uint8Array[]> {
  const commands: Uint8Array[] = [];
  let number = 0;
  for await (const line of linesOf(input, name)) {
    number += 1;
    const text = line.replace(/#.*$/, '').trim();
    if (text !== '') commands.push(read(text, `${name}, line ${number}: invalid command`));
  }
  return commands;
}

/** The lines of a stream. @throws IoError */
export async function* linesOf(input: Readable, name: string): AsyncGenerator<string> {
  // readline's own iterator does not end when its input fails.
  const trouble = new Promise<never>((_, reject) => {
    input.once('error', (error: unknown) => reject(new IoError('read', name, error)));
  });
  const lines = createInterface({ input })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await Promise.race([lines.next(), trouble]);
    if (done) return;
    yield value;
  }
}

function read(text: string, what: string): Uint8Array {
  try {
    return parseHex(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
    throw new UsageError(`${what} ${JSON.stringify(shown)}: ${error.message}`);
  }
}
