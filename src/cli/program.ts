/**
 * The `nvtpm` command: the table of its subcommands, each of which is loaded when it is used.
 * @module
 */
import { Command, CommanderError, Option } from 'commander';
import { type CommandLine, HELP_OPTION, JSON_OPTION, VERSION_OPTION } from './command-line.js';
import { EXIT_CODES } from './exit-codes.js';
import { readers, type ShownOption } from './options.js';
import { Printer, UsageError } from './output.js';
import type { Host, Subcommand } from './subcommand.js';
import type { Surroundings } from './surroundings.js';
import { SWTPM_OPTIONS, SWTPM_SUBCOMMANDS } from './swtpm-names.js';
import { VERSION } from './version.js';

/** In the order of the help. */
// biome-ignore format: table
const SUBCOMMANDS: Readonly<Record<string, () => Promise<Subcommand>>> = {
  'demo':      async () => (await import('./commands/demo.js')).demo,
  'create':    async () => (await import('./commands/create.js')).create,
  'info':      async () => (await import('./commands/info.js')).info,
  'check':     async () => (await import('./commands/check.js')).check,
  'exec':      async () => (await import('./commands/exec.js')).exec,
  'serve':     async () => (await import('./commands/serve.js')).serve,
  'run':       async () => (await import('./commands/run.js')).run,
  'rekey':     async () => (await import('./commands/rekey.js')).rekey,
  'restore':   async () => (await import('./commands/restore.js')).restore,
  'import':    async () => (await import('./commands/import.js')).importState,
  'export':    async () => (await import('./commands/export.js')).exportState,
  'compare':   async () => (await import('./commands/compare.js')).compare,
  'log':       async () => (await import('./commands/log.js')).log,
  'trace':     async () => (await import('./commands/trace.js')).trace,
  'completion': async () => (await import('./commands/completion.js')).completion,
  'demo-step': async () => (await import('./commands/demo-step.js')).demoStep,
};

const SUMMARY = 'A TPM whose state outlives the machine: it lives in a QCoW2 image.';

/** Everything that can be given: the manual page and shell completion are made of it. */
export async function commandLine(): Promise<CommandLine> {
  const all = await Promise.all(Object.values(SUBCOMMANDS).map(load => load()));
  return {
    summary: SUMMARY,
    options: [VERSION_OPTION, JSON_OPTION, HELP_OPTION],
    commands: all.filter(({ isHidden }) => !isHidden).map(({ shown }) => shown),
  };
}

const optionOf = ({ flags, help }: ShownOption): Option => new Option(flags, help);

/**
 * Runs the command.
 * @param argv the arguments, without the program's own name
 * @returns the exit code, one of EXIT_CODES
 */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdin } = surroundings;
  const printer = new Printer(surroundings, asksForJson(argv));
  const host: Host = { printer, stdin, commandLine, exitCode: EXIT_CODES.OK };
  try {
    const program = await programFor(argv, host, surroundings);
    await program.parseAsync(argv, { from: 'user' });
    return host.exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return printer.reportError(error);
    // Help, or the version, that was asked for and is printed.
    if (error.exitCode === 0) return EXIT_CODES.OK;
    return refuse(error, argv, printer);
  } finally {
    printer.close();
  }
}

/** An invalid command line must be answered in JSON too, so this cannot wait for its parsing. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).includes('--json');
}

/** The program with the subcommand that `argv` names; with all of them where it names none. */
async function programFor(
  argv: readonly string[],
  host: Host,
  surroundings: Surroundings,
): Promise<Command> {
  const { printer } = host;
  const program = new Command('nvtpm')
    .enablePositionalOptions()
    .description(SUMMARY)
    .version(VERSION, VERSION_OPTION.flags, VERSION_OPTION.help)
    .addOption(optionOf(JSON_OPTION))
    .addHelpOption(optionOf(HELP_OPTION))
    .addHelpText('after', '\nExample:\n  nvtpm demo\n\nnvtpm <command> --help has the options.\n');
  readers(program, SWTPM_OPTIONS);
  const name = argv.find(each => !each.startsWith('-')) ?? '';
  const advice = SWTPM_SUBCOMMANDS.get(name);
  if (advice !== undefined) throw new UsageError(`${name} ${advice}`);
  const load = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  const isForVersion = argv.some(each => each === '-v' || each === '--version');
  const all = isForVersion ? [] : Object.values(SUBCOMMANDS);
  const loads = load === undefined ? all : [load];
  for (const subcommand of await Promise.all(loads.map(each => each()))) {
    program.addCommand(subcommand.commandOn(host), { hidden: subcommand.isHidden });
  }
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: text => printer.print(text),
      // Errors are printed by refuse().
      writeErr: () => {},
      getOutHelpWidth: () => surroundings.stdout.columns ?? 80,
      getOutHasColors: () => false,
    });
  }
  return program;
}

/** Reports what Commander found wrong with the command line. */
function refuse(error: CommanderError, argv: readonly string[], printer: Printer): number {
  const isBare = error.code === 'commander.help';
  const what = isBare ? 'no command is given' : error.message.replace(/^error: /, '');
  const name = argv.find(each => Object.hasOwn(SUBCOMMANDS, each));
  const help = name === undefined ? 'nvtpm --help' : `nvtpm ${name} --help`;
  return printer.reportError(new UsageError(`${what.replaceAll('\n', ' ')}; see ${help}`));
}
