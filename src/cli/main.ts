#!/usr/bin/env node
/**
 * The `nvtpm` command: parses and prints, no logic. Options are spelt as swtpm and qemu-img spell
 * them.
 * @module
 */
import { fileURLToPath } from 'node:url';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXIT_CODES } from '../errors.js';
import { check } from './commands/check.js';
import { create } from './commands/create.js';
import { exec } from './commands/exec.js';
import { info } from './commands/info.js';
import { run } from './commands/run.js';
import { trace } from './commands/trace.js';
import { runStep } from './demo/steps.js';
import { demo } from './demo/story.js';
import type { CommonOptions } from './images.js';
import { openTrace, type Result, report, reportError } from './output.js';
import { VERSION } from './version.js';

interface Common {
  readonly json?: boolean;
  readonly trace?: string;
  readonly lockTimeout: number;
}

/** Runs one subcommand and sets the exit code: the only place where a result or an error is printed. */
async function conclude(
  { json = false, trace: path, lockTimeout }: Common,
  act: (common: CommonOptions) => Result | Promise<Result>,
): Promise<void> {
  try {
    const { trace, close } = openTrace(path);
    try {
      process.exitCode = report(await act({ trace, lockTimeout }), json);
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
    );
}

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
    .action((file: string, options: Common & { size?: string }) =>
      conclude(options, common => create(file, { ...options, ...common })),
    ),
);

program.addCommand(
  subcommand('info', 'what is in an image')
    .argument('<file>', 'the image')
    .action((file: string, options: Common) => conclude(options, common => info(file, common))),
);

program.addCommand(
  subcommand('check', 'what is wrong with an image; the exit code says which kind of fault')
    .argument('<file>', 'the image')
    .option('--expect-existing', 'an image without a TPM is a fault too', false)
    .action((file: string, options: Common & { expectExisting: boolean }) =>
      conclude(options, common =>
        check(file, { ...common, expectExisting: options.expectExisting }),
      ),
    ),
);

program.addCommand(
  subcommand('exec', 'power on, run TPM commands through the TIS registers, power off')
    .argument('<file>', 'the image')
    .argument('<hex...>', 'commands, their bytes in hex; each is one argument')
    .option('--no-startup', 'do not send TPM_Startup(ST_CLEAR) first')
    .option('--locality <n>', 'the locality to use, 0 to 4', '0')
    .option('--expect-existing', 'refuse an image without a TPM instead of making one', false)
    .action(
      (
        file: string,
        hex: string[],
        options: Common & { startup: boolean; locality: string; expectExisting: boolean },
      ) => conclude(options, common => exec(file, hex, { ...options, ...common })),
    ),
);

program.addCommand(
  subcommand('run', 'power on and serve other programs until told to end')
    .argument('<file>', 'the image')
    .option('--qtest <address>', 'where a test drives the registers: unix:PATH[,server=on], stdio')
    .option('--qmp <address>', 'where a program manages the machine; several are fine', collect, [])
    .option('--incoming <address>', 'wait at unix:PATH for a machine that migrates here')
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
      ) =>
        conclude(options, common =>
          run(file, { ...options, ...common, json: options.json ?? false }),
        ),
    ),
);

program.addCommand(
  subcommand('trace', 'what --trace has written, as a time line for people')
    .argument('<file>', 'the trace; - for standard input')
    .option('--all', 'reads, writes and locks of the image too', false)
    .action((file: string, options: Common & { all: boolean }) =>
      conclude(options, () => trace(file, { all: options.all, json: options.json ?? false })),
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
