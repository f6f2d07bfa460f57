/**
 * Completion for zsh: a file `_nvtpm` in a folder of `$fpath`.
 * @module
 */
import type { CommandLine, ShownCommand } from '../command-line.js';
import type { ShownOption } from '../options.js';
import { type Completed, completedArgument, completedValue, dashed, quoted } from './words.js';

export function zshScript({ options, commands }: CommandLine): string {
  const described = commands.map(({ name, summary }) => quoted(`${name}:${escaped(summary)}`));
  return `#compdef nvtpm
# zsh completion for nvtpm
_nvtpm() {
  local curcontext=$curcontext state line
  local -a commands
  commands=(
${described.map(each => `    ${each}`).join('\n')}
  )
  _arguments -C ${options.map(optionSpec).join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command commands ;;
    rest)
      case $words[1] in
${commands.map(commandCase).join('\n')}
      esac ;;
  esac
}
if [[ $funcstack[1] == _nvtpm ]]; then _nvtpm "$@"; else compdef _nvtpm nvtpm; fi
`;
}

function commandCase(command: ShownCommand): string {
  const specs = [
    ...command.options.map(optionSpec),
    `'*: :${actionFor(completedArgument(command))}'`,
  ];
  return `        ${command.name}) _arguments \\\n${specs.map(each => `          ${each}`).join(' \\\n')} ;;`;
}

/** `'(-U --force-share)'{-U,--force-share}'[help]'`; with a value, `:name:action` behind it. */
function optionSpec(option: ShownOption): string {
  const spellings = dashed(option);
  const completed = completedValue(option);
  const value = completed === undefined ? '' : `: :${actionFor(completed)}`;
  const text = `[${escaped(option.help)}]${value}`;
  if (spellings.length === 1) return quoted(`${spellings[0]}${text}`);
  return `${quoted(`(${spellings.join(' ')})`)}{${spellings.join(',')}}${quoted(text)}`;
}

function actionFor(completed: Completed): string {
  if (completed.to === 'words') return `(${completed.words.join(' ')})`;
  return completed.to === 'files' ? '_files' : '';
}

/** What has a meaning in a specification of _arguments and _describe. */
const escaped = (text: string): string => text.replaceAll(/[\\:[\]]/g, '\\$&');
