/**
 * What can stand where on the command line, for the scripts of every shell.
 * @module
 */
import { type ShownCommand, spellingOf } from '../command-line.js';
import type { ShownOption } from '../options.js';

/** What the value of an option, or an argument, is completed to. */
export type Completed =
  | { readonly to: 'words'; readonly words: readonly string[] }
  | { readonly to: 'files' }
  /** A number, a size, an address: nothing that could be listed. */
  | { readonly to: 'nothing' };

/** Undefined for an option without a value. */
export function completedValue(option: ShownOption): Completed | undefined {
  const { value } = spellingOf(option);
  if (value === undefined) return undefined;
  if (option.choices !== undefined) return { to: 'words', words: option.choices };
  return { to: value === 'file' ? 'files' : 'nothing' };
}

export function completedArgument({ arguments: all, choices }: ShownCommand): Completed {
  if (choices !== undefined) return { to: 'words', words: choices };
  return { to: Object.keys(all).length > 0 ? 'files' : 'nothing' };
}

/** The spellings of an option with their dashes: `-U`, `--force-share`. */
export function dashed(option: ShownOption): string[] {
  const { short, long } = spellingOf(option);
  return [
    ...(short === undefined ? [] : [`-${short}`]),
    ...(long === undefined ? [] : [`--${long}`]),
  ];
}

/** In single quotes, for bash and zsh. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
