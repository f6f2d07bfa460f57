/**
 * Options of a subcommand: how each is spelt, what help says about it, and what its text means. The
 * type of what a subcommand gets follows from it.
 * @module
 */
import { type Command, Option } from 'commander';
import { UsageError } from './output.js';

/** An option as help, the manual page and shell completion show it. */
export interface ShownOption {
  /** `-U, --force-share`, `--size <size>`. */
  readonly flags: string;
  readonly help: string;
  /** What its value can be, where that is a closed set. */
  readonly choices?: readonly string[] | undefined;
}

export interface OptionSpec<T> extends ShownOption {
  readonly isHidden?: boolean;
  /**
   * @param given the texts in the order given, '' for an option without a value; none where it is absent
   * @throws UsageError
   */
  readonly read: (given: readonly string[]) => T;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

/** What a subcommand gets of its options. */
export type Values<O extends OptionSpecs> = {
  readonly [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never;
};

/** What a text means. A parser of a closed set says what is in it. */
export type Parse<T> = ((text: string) => T) & { readonly choices?: readonly string[] };

/** The long name of an option, or its only one. */
const nameOf = (flags: string): string =>
  (/--[\w-]+/.exec(flags) ?? /-\w/.exec(flags))?.[0] ?? flags;

/** `parse` with the option and its text in the message. */
const named =
  <T>(flags: string, parse: Parse<T>): Parse<T> =>
  text => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(`invalid ${nameOf(flags)} ${JSON.stringify(text)}: ${error.message}`);
    }
  };

export const flag = (flags: string, help: string): OptionSpec<boolean> => ({
  flags,
  help,
  read: given => given.length > 0,
});

/** An option with a value; the last one counts. */
export const value = <T>(
  flags: string,
  help: string,
  parse: Parse<T>,
): OptionSpec<T | undefined> => ({
  flags,
  help,
  choices: parse.choices,
  read: given => {
    const text = given.at(-1);
    return text === undefined ? undefined : named(flags, parse)(text);
  },
});

export const valueOr = <T>(
  flags: string,
  help: string,
  fallback: string,
  parse: Parse<T>,
): OptionSpec<T> => ({
  flags,
  help: `${help} (default: ${fallback})`,
  choices: parse.choices,
  read: given => named(flags, parse)(given.at(-1) ?? fallback),
});

/** An option that must be given. */
export const requiredValue = <T>(flags: string, help: string, parse: Parse<T>): OptionSpec<T> => ({
  flags,
  help,
  choices: parse.choices,
  read: given => {
    const text = given.at(-1);
    if (text === undefined) throw new UsageError(`${nameOf(flags)} is required: ${help}`);
    return named(flags, parse)(text);
  },
});

/** An option that can be given several times. */
export const values = <T>(
  flags: string,
  help: string,
  parse: Parse<T>,
): OptionSpec<readonly T[]> => ({ flags, help, read: given => given.map(named(flags, parse)) });

/** An option of another program: its use is an error that says what to do instead. */
export const foreign = (flags: string, advice: string): OptionSpec<void> => ({
  flags,
  help: '',
  isHidden: true,
  read: given => {
    if (given.length > 0) throw new UsageError(`${nameOf(flags)} ${advice}`);
  },
});

/** Declares options, and gives what reads them once the command line has been parsed. */
export function readers<O extends OptionSpecs>(command: Command, specs: O): () => Values<O> {
  const all = Object.entries(specs).map(([name, spec]) => [name, reader(command, spec)] as const);
  // Each reader gives what its specification says: the names and types are those of `specs`.
  return () => Object.fromEntries(all.map(([name, read]) => [name, read()])) as Values<O>;
}

/** Declares one option, and gives what reads it. */
export function reader<T>(command: Command, spec: OptionSpec<T>): () => T {
  const given: string[] = [];
  const option = new Option(spec.flags, spec.help).hideHelp(spec.isHidden ?? false);
  command.addOption(option);
  command.on(`option:${option.name()}`, (text: string | null) => {
    given.push(text ?? '');
    // Before anything else of the command line is found wrong.
    if (spec.isHidden) spec.read(given);
  });
  return () => spec.read(given);
}
