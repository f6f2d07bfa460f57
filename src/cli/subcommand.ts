/**
 * A subcommand: its help, its options, and what it does, declared in one record; and the options that
 * several have in common.
 * @module
 */
import type { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { NvtpmError } from '../errors.js';
import { type CommandLine, HELP_OPTION, JSON_OPTION, type ShownCommand } from './command-line.js';
import type { CommonOptions } from './images.js';
import { type KeyFile, readKey } from './key-file.js';
import {
  flag,
  type OptionSpec,
  type OptionSpecs,
  reader,
  readers,
  type Values,
  value,
  valueOr,
} from './options.js';
import { describe, type Printer, type Result } from './output.js';
import { openTrace } from './trace-file.js';
import { oneOf, wholeNumber } from './values.js';

/** What a subcommand is run with. */
export interface Given<O extends OptionSpecs> {
  /** Its first argument; '' where it has none. */
  readonly file: string;
  /** Its other arguments. */
  readonly rest: readonly string[];
  readonly options: Values<O>;
  readonly common: CommonOptions;
  readonly printer: Printer;
  readonly stdin: Readable;
  readonly commandLine: () => Promise<CommandLine>;
}

export interface SubcommandSpec<O extends OptionSpecs> extends Omit<ShownCommand, 'options'> {
  readonly options: O;
  /** What `--key` does here; undefined where there is none. */
  readonly key?: string;
  /** Whether the file is an image: it has a lock, a guard, backing files, and a trace is worth it. */
  readonly isOnImage: boolean;
  readonly isHidden?: boolean;
  readonly run: (given: Given<O>) => Result | Promise<Result>;
}

/** Where a subcommand runs, and where its exit code goes. */
export interface Host {
  readonly printer: Printer;
  readonly stdin: Readable;
  readonly commandLine: () => Promise<CommandLine>;
  exitCode: number;
}

export interface Subcommand {
  readonly isHidden: boolean;
  readonly shown: ShownCommand;
  readonly commandOn: (host: Host) => Command;
}

export const KEY_FORM = 'file=PATH,format=hex|binary[,remove=true] or pwdfile=PATH[,remove=true]';

// biome-ignore format: table
const IMAGE_OPTIONS = {
  trace:        value('--trace <file>', 'write events as JSON lines; - for standard error', text => text),
  lockTimeout:  valueOr('--lock-timeout <ms>', 'how long to wait for the lock of the image', '10000', wholeNumber('milliseconds', 0, 2 ** 31 - 1)),
  imageLock:    valueOr('--image-lock <mode>', 'lock QEMU’s bytes of the image file: on, off, auto', 'auto', oneOf(['on', 'off', 'auto'])),
  allowBacking: flag('--allow-backing', 'open the backing files that the image names'),
} as const;

/** What the common options say where a subcommand does not have them. */
const NO_IMAGE_OPTIONS = {
  trace: undefined,
  lockTimeout: 0,
  imageLock: 'auto',
  allowBacking: false,
} as const;

export function subcommand<const O extends OptionSpecs>(spec: SubcommandSpec<O>): Subcommand {
  const key = spec.key === undefined ? undefined : keyOption(spec.key);
  return {
    isHidden: spec.isHidden ?? false,
    shown: shownCommand(spec, key),
    commandOn: host => {
      const command = new Command(spec.name).description(spec.summary);
      for (const [name, help] of Object.entries(spec.arguments)) command.argument(name, help);
      const own = readers(command, spec.options);
      const keyText = key === undefined ? () => undefined : reader(command, key);
      command.optionsGroup('Common options:');
      const common = spec.isOnImage ? readers(command, IMAGE_OPTIONS) : () => NO_IMAGE_OPTIONS;
      command.addOption(new Option(JSON_OPTION.flags, JSON_OPTION.help));
      command.addHelpOption(
        new Option(HELP_OPTION.flags, HELP_OPTION.help).helpGroup('Common options:'),
      );
      command.addHelpText('after', epilogue(spec));
      return command.action(async () => {
        host.exitCode = await conclude(spec, host, command.args, { own, common, key: keyText });
      });
    },
  };
}

/** Not named in messages with its text: a password that was given by mistake stays out of logs. */
const keyOption = (what: string) => value('--key <key>', `${what}: ${KEY_FORM}`, text => text);

function shownCommand<O extends OptionSpecs>(
  spec: SubcommandSpec<O>,
  key: OptionSpec<unknown> | undefined,
): ShownCommand {
  const own = Object.values<OptionSpec<unknown>>(spec.options).filter(each => !each.isHidden);
  const common = spec.isOnImage ? Object.values(IMAGE_OPTIONS) : [];
  const { name, summary, arguments: args, choices, example, page } = spec;
  return {
    ...{ name, summary, arguments: args, choices, example, page },
    options: [...own, ...(key === undefined ? [] : [key]), ...common, JSON_OPTION, HELP_OPTION],
  };
}

function epilogue({ example, page }: Pick<ShownCommand, 'example' | 'page'>): string {
  const more = page === undefined ? '' : `\nMore in ${page}.\n`;
  return `\nExample:\n  ${example.replaceAll('\n', '\n  ')}\n${more}`;
}

interface Readers<O extends OptionSpecs> {
  readonly own: () => Values<O>;
  readonly common: () => Omit<CommonOptions, 'trace' | 'key' | 'keyUsed'> & {
    readonly trace: string | undefined;
  };
  readonly key: () => string | undefined;
}

/** Runs a subcommand and prints its result or its error. @returns the exit code */
async function conclude<O extends OptionSpecs>(
  spec: SubcommandSpec<O>,
  { printer, stdin, commandLine }: Host,
  [file = '', ...rest]: readonly string[],
  read: Readers<O>,
): Promise<number> {
  try {
    const options = read.own();
    const { trace: path, ...common } = read.common();
    const keyText = read.key();
    const { trace, close } = openTrace(path, spec.isOnImage ? file : undefined, printer);
    try {
      const key = keyText === undefined ? undefined : readKey(keyText, printer);
      const all = { ...common, trace, key: key?.key, keyUsed: key?.used };
      const result = await spec.run({
        ...{ file, rest, options, common: all },
        ...{ printer, stdin, commandLine },
      });
      return printer.report((result.outcome ?? 'OK') === 'OK' ? withKeyUsed(result, key) : result);
    } finally {
      close();
    }
  } catch (error) {
    return printer.reportError(error);
  }
}

/** The result still counts where the key file cannot be removed. */
function withKeyUsed(result: Result, key: KeyFile | undefined): Result {
  try {
    key?.used();
    return result;
  } catch (error) {
    if (!(error instanceof NvtpmError)) throw error;
    return {
      lines: [...result.lines, `error: ${error.message}`],
      data: { ...result.data, error: describe(error) },
      outcome: error.outcome,
    };
  }
}
