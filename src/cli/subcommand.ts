/**
 * A subcommand: its help, its options, and what it does, declared in one record; and the options that
 * several have in common.
 * @module
 */
import type { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { NvtpmError } from '../errors.js';
import type { CommonOptions } from './images.js';
import { type KeyFile, readKey } from './key-file.js';
import { flag, type OptionSpecs, reader, readers, type Values, value, valueOr } from './options.js';
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
}

export interface SubcommandSpec<O extends OptionSpecs> {
  readonly name: string;
  readonly summary: string;
  /** As help shows them, `<file>` first; and what each is. */
  readonly arguments: Readonly<Record<string, string>>;
  readonly options: O;
  /** What `--key` does here; undefined where there is none. */
  readonly key?: string;
  /** Whether the file is an image: it has a lock, a guard, backing files, and a trace is worth it. */
  readonly isOnImage: boolean;
  readonly example: string;
  /** The page that says more. */
  readonly page?: string;
  readonly isHidden?: boolean;
  readonly run: (given: Given<O>) => Result | Promise<Result>;
}

/** Where a subcommand runs, and where its exit code goes. */
export interface Host {
  readonly printer: Printer;
  readonly stdin: Readable;
  exitCode: number;
}

export interface Subcommand {
  readonly name: string;
  readonly isHidden: boolean;
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

const JSON_OPTION = new Option('--json', 'print one JSON document on standard output, errors too');

export function subcommand<const O extends OptionSpecs>(spec: SubcommandSpec<O>): Subcommand {
  return {
    name: spec.name,
    isHidden: spec.isHidden ?? false,
    commandOn: host => {
      const command = new Command(spec.name).description(spec.summary);
      for (const [name, help] of Object.entries(spec.arguments)) command.argument(name, help);
      const own = readers(command, spec.options);
      const key = keyReader(command, spec.key);
      command.optionsGroup('Common options:');
      const common = spec.isOnImage ? readers(command, IMAGE_OPTIONS) : () => NO_IMAGE_OPTIONS;
      command.addOption(JSON_OPTION);
      command.addHelpOption(
        new Option('-h, --help', 'print this help').helpGroup('Common options:'),
      );
      command.addHelpText('after', epilogue(spec));
      return command.action(async () => {
        host.exitCode = await conclude(spec, host, command.args, { own, common, key });
      });
    },
  };
}

function epilogue({ example, page }: { readonly example: string; readonly page?: string }): string {
  const more = page === undefined ? '' : `\nMore in ${page}.\n`;
  return `\nExample:\n  ${example.replaceAll('\n', '\n  ')}\n${more}`;
}

function keyReader(command: Command, what: string | undefined): () => string | undefined {
  if (what === undefined) return () => undefined;
  // Not named in messages with its text: a password that was given by mistake stays out of logs.
  const spec = value('--key <key>', `${what}: ${KEY_FORM}`, text => text);
  return reader(command, spec);
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
  { printer, stdin }: Host,
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
      const result = await spec.run({ file, rest, options, common: all, printer, stdin });
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
