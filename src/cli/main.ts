#!/usr/bin/env node
/**
 * The `nvtpm` command: parses and prints, no logic. Options are spelt as swtpm and qemu-img spell
 * them.
 * @module
 */
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { GuardMode } from '../block/index.js';
import { check } from './commands/check.js';
import { type CreateOptions, create } from './commands/create.js';
import { exec } from './commands/exec.js';
import { info } from './commands/info.js';
import { rekey, restore } from './commands/rekey.js';
import { run } from './commands/run.js';
import { type ServeOptions, serve } from './commands/serve.js';
import { trace } from './commands/trace.js';
import { runStep } from './demo/steps.js';
import { demo } from './demo/story.js';
import { EXIT_CODES } from './exit-codes.js';
import type { CommonOptions } from './images.js';
import { readKey } from './keys.js';
import { type Result, report, reportError } from './output.js';
import { openTrace } from './trace-file.js';
import { VERSION } from './version.js';

interface Common {
  readonly json?: boolean;
  readonly trace?: string;
  readonly lockTimeout: number;
  readonly imageLock: GuardMode;
  readonly allowBacking: boolean;
  readonly key?: string;
}

/**
 * Runs one subcommand with its own options and the common ones, and sets the exit code: the only
 * place where a result or an error is printed.
 */
async function conclude<T extends Common>(
  options: T,
  act: (options: Omit<T, keyof Common> & CommonOptions) => Result | Promise<Result>,
  image?: string,
): Promise<void> {
  const { json = false, trace: path, lockTimeout, imageLock, allowBacking, key, ...own } = options;
  try {
    const { trace, close } = openTrace(path, image);
    try {
      const file = key === undefined ? undefined : readKey(key);
      const keyUsed = file?.used ?? (() => {});
      const common = { trace, lockTimeout, imageLock, allowBacking, key: file?.key, keyUsed };
      const result = await act({ ...own, ...common });
      if ((result.outcome ?? 'OK') === 'OK') keyUsed();
      process.exitCode = report(result, json);
    } finally {
      close();
    }
  } catch (error) {
    process.exitCode = reportError(error, json);
  }
}

/** A subcommand with the options that all of them have. */
function subcommand(name: string, summary: string): Command {
  return new Command(name)
    .description(summary)
    .option('--json', 'print one JSON document on standard output, errors too')
    .option('--trace <file>', 'write what happens as JSON lines; - for standard error')
    .addOption(
      new Option('--lock-timeout <ms>', 'how long to wait for the lock of the image')
        .default(10_000)
        .argParser(milliseconds),
    )
    .addOption(
      new Option('--image-lock <mode>', 'whether QEMU’s bytes of the image file are locked')
        .choices(['on', 'off', 'auto'])
        .default('auto'),
    )
    .option('--allow-backing', 'open the files that the image names as its backing files', false);
}

const KEY_HELP = 'file=PATH,format=hex|binary[,remove=true] or pwdfile=PATH[,remove=true]';
const keyOption = (what: string): [string, string] => ['--key <key>', `${what}: ${KEY_HELP}`];

function milliseconds(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('It is a number of milliseconds, 0 or more.');
}

const collect = (text: string, given: readonly string[]): readonly string[] => [...given, text];

const program = new Command('nvtpm')
  .description('A TPM whose state outlives the machine: it lives in a QCoW2 image.')
  .version(VERSION)
  .showHelpAfterError('(nvtpm --help lists the commands)');

program.addCommand(
  subcommand(
    'demo',
    'shows it: EK and ownership survive cold restarts, a bad migration does no harm',
  )
    .option('--image <file>', 'the image to make', 'demo.qcow2')
    .option('--force', 'replace the image if it exists', false)
    .addOption(new Option('--engine <name>', 'the TPM engine').choices(['tpm12']).default('tpm12'))
    .action((options: Common & { image: string; force: boolean }) =>
      conclude(options, () => {
        const { image, force, json = false } = options;
        return demo({ image, force, json, program: fileURLToPath(import.meta.url) });
      }),
    ),
);

program.addCommand(
  subcommand('create', 'makes a qcow2 image with an NVRAM store, or formats an empty one')
    .argument('<file>', 'the image')
    .option('--size <size>', 'the virtual size of a new image: 1M, 64M, 1G, …')
    .option('-o <options>', 'of a new image, spelt as for qemu-img: cluster_size, refcount_bits, …')
    .option(
      '--max-blob <size>',
      'the most bytes that one blob may have; 256k unless told otherwise',
    )
    .option('--keep <n>', 'how many older states are kept, for nvtpm restore')
    .option(...keyOption('encrypts the store'))
    .action((file: string, options: Common & Omit<CreateOptions, keyof CommonOptions>) =>
      conclude(options, all => create(file, all), file),
    ),
);

program.addCommand(
  subcommand('info', 'what is in an image')
    .argument('<file>', 'the image')
    .option('-U, --force-share', 'look at it although another process writes to it', false)
    .option(...keyOption('verifies that an encrypted store is authentic'))
    .action((file: string, options: Common & { forceShare: boolean }) =>
      conclude(options, all => info(file, all), file),
    ),
);

program.addCommand(
  subcommand('check', 'what is wrong with an image; the exit code says which kind of fault')
    .argument('<file>', 'the image')
    .option('--expect-existing', 'an image without a TPM is a fault too', false)
    .option('--repair', 'do what is certain: leaks, refcounts, a store that was cut off', false)
    .option('-U, --force-share', 'look at it although another process writes to it', false)
    .option(...keyOption('verifies, or repairs, an encrypted store'))
    .action(
      (
        file: string,
        options: Common & { expectExisting: boolean; repair: boolean; forceShare: boolean },
      ) => conclude(options, all => check(file, all), file),
    ),
);

program.addCommand(
  subcommand('exec', 'power on, run TPM commands through the TIS registers, power off')
    .argument('<file>', 'the image')
    .argument('<hex...>', 'commands, their bytes in hex; each is one argument')
    .option('--no-startup', 'do not send TPM_Startup(ST_CLEAR) first')
    .option(...keyOption('opens an encrypted store'))
    .option('--locality <n>', 'the locality to use, 0 to 4', '0')
    .option('--expect-existing', 'refuse an image without a TPM instead of making one', false)
    .action(
      (
        file: string,
        hex: string[],
        options: Common & { startup: boolean; locality: string; expectExisting: boolean },
      ) => conclude(options, all => exec(file, hex, all), file),
    ),
);

program.addCommand(
  subcommand('rekey', 'adds, changes or removes the key that encrypts the state')
    .argument('<file>', 'the image')
    .option(...keyOption('the key that it has now'))
    .option('--new-key <key>', `the key that it shall have: ${KEY_HELP}`)
    .option('--remove-key', 'decrypts the state', false)
    .action((file: string, options: Common & { newKey?: string; removeKey: boolean }) =>
      conclude(options, all => rekey(file, all), file),
    ),
);

program.addCommand(
  subcommand('restore', 'brings an older state back, as a new one (create --keep)')
    .argument('<file>', 'the image')
    .requiredOption('--generation <g>', 'which one; nvtpm info lists them')
    .option(...keyOption('opens an encrypted store'))
    .action((file: string, options: Common & { generation: string }) =>
      conclude(options, all => restore(file, all), file),
    ),
);

program.addCommand(
  subcommand('run', 'power on and serve other programs until told to end')
    .argument('<file>', 'the image')
    .option('--qtest <address>', 'where a test drives the registers: unix:PATH[,server=on], stdio')
    .option('--qmp <address>', 'where a program manages the machine; several are fine', collect, [])
    .option('--incoming <address>', 'wait at unix:PATH for a machine that migrates here')
    .option(...keyOption('opens an encrypted store'))
    .option('--expect-existing', 'refuse an image without a TPM instead of making one', false)
    .action(
      (
        file: string,
        options: Common & {
          qtest?: string;
          qmp: readonly string[];
          incoming?: string;
          expectExisting: boolean;
        },
      ) => conclude(options, given => run(file, { ...given, json: options.json ?? false }), file),
    ),
);

program.addCommand(
  subcommand(
    'serve',
    'power on and take TPM commands over a socket, as swtpm does, until told to end',
  )
    .argument('<file>', 'the image')
    .option(
      '--server <address>',
      'type=tcp,port=N[,bindaddr=A][,disconnect] or type=unixio,path=P[,mode=0600][,disconnect]',
    )
    .option(
      '--flags <flags>',
      'not-need-init, startup-clear, startup-state, startup-deactivated, startup-none',
      'not-need-init',
    )
    .option('-t, --terminate', 'end when the client has gone', false)
    .option('--pid <file>', 'file=PATH: where its process id stands while it listens')
    .option(...keyOption('opens an encrypted store'))
    .option('--expect-existing', 'refuse an image without a TPM instead of making one', false)
    .action((file: string, options: Common & Omit<ServeOptions, keyof CommonOptions>) =>
      conclude(options, given => serve(file, { ...given, json: options.json ?? false }), file),
    ),
);

program.addCommand(
  subcommand('trace', 'what --trace has written, as a time line for people')
    .argument('<file>', 'the trace; - for standard input')
    .option('--all', 'reads, writes and locks of the image too', false)
    .action((file: string, options: Common & { all: boolean }) =>
      conclude(options, ({ all }) => trace(file, { all, json: options.json ?? false })),
    ),
);

program.addCommand(
  subcommand('demo-step', 'one step of the demonstration')
    .argument('<step>')
    .argument('<file>')
    .argument('<socket>')
    .action((step: string, file: string, socket: string, options: Common) =>
      conclude(options, async common => {
        const data = await runStep(step, file, common, socket);
        return { lines: [JSON.stringify(data, null, 2)], data };
      }),
    ),
  { hidden: true },
);

for (const command of [program, ...program.commands]) command.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  // Commander has printed what is wrong, or the help that was asked for.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_CODES.OK : EXIT_CODES.USAGE;
}
