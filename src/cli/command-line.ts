/**
 * The command line as data: what the manual page and shell completion are made of.
 * @module
 */
import type { ShownOption } from './options.js';

export interface ShownCommand {
  readonly name: string;
  readonly summary: string;
  /** As help shows them, `<file>` first; and what each is. */
  readonly arguments: Readonly<Record<string, string>>;
  /** What the first argument can be, where that is a closed set. */
  readonly choices?: readonly string[] | undefined;
  /** Its own options, then the common ones. */
  readonly options: readonly ShownOption[];
  readonly example: string;
  /** The page that says more. */
  readonly page?: string | undefined;
}

export interface CommandLine {
  readonly summary: string;
  /** Those in front of a command. */
  readonly options: readonly ShownOption[];
  readonly commands: readonly ShownCommand[];
}

export const JSON_OPTION: ShownOption = {
  flags: '--json',
  help: 'print one JSON document on standard output, errors too',
};
export const HELP_OPTION: ShownOption = { flags: '-h, --help', help: 'print this help' };
export const VERSION_OPTION: ShownOption = { flags: '-v, --version', help: 'print the version' };

/** The spellings of an option, and the placeholder of its value if it has one. */
export interface Spelling {
  /** Without its dash: `U`. */
  readonly short: string | undefined;
  /** Without its dashes: `force-share`. */
  readonly long: string | undefined;
  /** `file`. */
  readonly value: string | undefined;
}

export const spellingOf = ({ flags }: ShownOption): Spelling => ({
  short: /(?:^|\s)-(\w)/.exec(flags)?.[1],
  long: /--([\w-]+)/.exec(flags)?.[1],
  value: /<(.+)>/.exec(flags)?.[1],
});
