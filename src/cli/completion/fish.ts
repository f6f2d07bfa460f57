/**
 * Completion for fish.
 * @module
 */
import { type CommandLine, type ShownCommand, spellingOf } from '../command-line.js';
import type { ShownOption } from '../options.js';
import { type Completed, completedArgument, completedValue } from './words.js';

export function fishScript({ options, commands }: CommandLine): string {
  return [
    '# fish completion for nvtpm',
    'complete -c nvtpm -f',
    ...options.map(option => `complete -c nvtpm -n __fish_use_subcommand ${optionWords(option)}`),
    ...commands.map(
      ({ name, summary }) =>
        `complete -c nvtpm -n __fish_use_subcommand -a ${name} -d ${fishQuoted(summary)}`,
    ),
    ...commands.flatMap(linesOf),
    '',
  ].join('\n');
}

function linesOf(command: ShownCommand): string[] {
  const head = `complete -c nvtpm -n '__fish_seen_subcommand_from ${command.name}'`;
  const argument = completedArgument(command);
  return [
    ...(argument.to === 'nothing' ? [] : [`${head} ${actionFor(argument)}`]),
    ...command.options.map(option => `${head} ${optionWords(option)}`),
  ];
}

function optionWords(option: ShownOption): string {
  const { short, long } = spellingOf(option);
  const completed = completedValue(option);
  return [
    ...(short === undefined ? [] : [`-s ${short}`]),
    ...(long === undefined ? [] : [`-l ${long}`]),
    ...(completed === undefined ? [] : ['-r', actionFor(completed)]),
    `-d ${fishQuoted(option.help)}`,
  ].join(' ');
}

function actionFor(completed: Completed): string {
  if (completed.to === 'words') return `-f -a ${fishQuoted(completed.words.join(' '))}`;
  return completed.to === 'files' ? '-F' : '-f';
}

/** In single quotes, where fish knows two escapes. */
const fishQuoted = (text: string): string => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
