/**
 * The manual page, from the tables that the command line itself works by.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ShownCommand } from '../../src/cli/command-line.js';
import type { ShownOption } from '../../src/cli/options.js';
import { commandLine } from '../../src/cli/program.js';
import { VERSION } from '../../src/cli/version.js';
import { ROOT } from '../files.js';

export const MAN_PAGE = 'man/nvtpm.1';

/** The page in the macros of man(7). */
export async function manPage(): Promise<string> {
  const { summary, options, commands } = await commandLine();
  const onImage = sharedBy(commands).filter(option => !options.includes(option));
  const shared = [...options, ...onImage];
  const lines = [
    '.\\" Made by scripts/pages.ts from the tables of src/cli, not by hand.',
    `.TH NVTPM 1 "" "nvtpm ${VERSION}" "User Commands"`,
    ...section('NAME', [`nvtpm \\- ${roff(lowerFirst(summary.replace(/\.$/, '')))}`]),
    ...section('SYNOPSIS', ['.B nvtpm', '.I command', '.RI [ options ]', '.RI [ file \\&... ]']),
    ...section(
      'COMMANDS',
      commands.flatMap(command => commandLines(command, shared)),
    ),
    ...section('OPTIONS OF EVERY COMMAND', options.flatMap(optionLines)),
    ...section('OPTIONS OF EVERY COMMAND ON AN IMAGE', onImage.flatMap(optionLines)),
    ...section('EXIT STATUS', exitLines()),
    ...section('SEE ALSO', ['.BR qemu\\-img (1),', '.BR swtpm (8)', '.PP', seeAlso(commands)]),
  ];
  return `${lines.join('\n')}\n`;
}

const section = (title: string, lines: readonly string[]): string[] => [`.SH ${title}`, ...lines];

/** Options that are one and the same for several commands. */
function sharedBy(commands: readonly ShownCommand[]): ShownOption[] {
  const all = commands.flatMap(({ options }) => options);
  return [...new Set(all)].filter(option => all.indexOf(option) !== all.lastIndexOf(option));
}

function commandLines(command: ShownCommand, shared: readonly ShownOption[]): string[] {
  const { name, summary, arguments: args, options, example } = command;
  const words = Object.keys(args).map(each => `\\fI${roff(each.replaceAll(/[<>]/g, ''))}\\fR`);
  const own = options.filter(option => !shared.includes(option));
  return [
    `.SS ${name}`,
    [`\\fBnvtpm ${name}\\fR`, '[\\fIoptions\\fR]', ...words].join(' '),
    '.PP',
    roff(`${upperFirst(summary)}.`),
    ...Object.entries(args).flatMap(([each, help], at) => term(words[at] ?? each, help)),
    ...own.flatMap(optionLines),
    '.PP',
    'Example:',
    '.PP',
    '.nf',
    ...example.split('\n').map(line => `    ${roff(line)}`),
    '.fi',
  ];
}

const optionLines = ({ flags, help }: ShownOption): string[] => {
  const spelt = flags.split(', ').map(each =>
    each.replace(/^(\S+)(?: <(.+)>)?$/, (_, option: string, value?: string) => {
      const bold = `\\fB${roff(option)}\\fR`;
      return value === undefined ? bold : `${bold} \\fI${roff(value)}\\fR`;
    }),
  );
  return term(spelt.join(', '), help);
};

const term = (shown: string, help: string): string[] => ['.TP', shown, roff(help)];

/** The table of docs/command-line.md. */
function exitLines(): string[] {
  const page = readFileSync(join(ROOT, 'docs/command-line.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) \| (?:`(\w+)`)? ?\| (.+) \|$/gm)];
  return rows.flatMap(([, code = '', name, meaning = '']) =>
    term(
      `\\fB${code}\\fR${name === undefined ? '' : ` (${roff(name)})`}`,
      meaning.replaceAll('`', ''),
    ),
  );
}

function seeAlso(commands: readonly ShownCommand[]): string {
  const pages = commands.flatMap(({ page }) => (page === undefined ? [] : [page]));
  return roff(`${['docs/command-line.md', ...pages].join(', ')} of the package.`);
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
const upperFirst = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Text with what roff would interpret escaped, in ASCII. */
const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll("'", '\\(aq')
    .replaceAll('…', '...')
    .replace(/^\./, '\\&.')
    .replaceAll(
      /[^\0-\x7f]/g,
      each => `\\[u${each.codePointAt(0)!.toString(16).padStart(4, '0').toUpperCase()}]`,
    );
