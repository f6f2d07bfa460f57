/**
 * Completion for bash, without the package bash-completion.
 * @module
 */
import type { CommandLine, ShownCommand } from '../command-line.js';
import { type Completed, completedArgument, completedValue, dashed, quoted } from './words.js';

/** `complete -o default` completes files where the function leaves COMPREPLY empty. */
export function bashScript({ options, commands }: CommandLine): string {
  const names = commands.map(({ name }) => name);
  return `# bash completion for nvtpm
_nvtpm() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    [[ $word == -* ]] || { command=$word; break; }
  done
  COMPREPLY=()
  case $command:$previous in
${valueCases(commands).join('\n')}
  esac
  case $command:$current in
    :*) ${words([...names, ...options.flatMap(dashed)])} ;;
${commands.map(optionCase).join('\n')}
${commands.flatMap(argumentCase).join('\n')}
  esac
}
complete -o default -F _nvtpm nvtpm
`;
}

const words = (all: readonly string[]): string =>
  `COMPREPLY=($(compgen -W ${quoted(all.join(' '))} -- "$current"))`;

function actionFor(completed: Completed): string {
  if (completed.to === 'words') return `${words(completed.words)}; `;
  return completed.to === 'files' ? '' : 'compopt +o default 2>/dev/null; ';
}

/** The values of options: one case for all that are completed alike. */
function valueCases(commands: readonly ShownCommand[]): string[] {
  const patterns = new Map<string, string[]>();
  for (const { name, options } of commands) {
    for (const option of options) {
      const completed = completedValue(option);
      if (completed === undefined) continue;
      const action = actionFor(completed);
      const alike = dashed(option).map(spelling => `${name}:${spelling}`);
      patterns.set(action, [...(patterns.get(action) ?? []), ...alike]);
    }
  }
  return [...patterns].map(([action, all]) => `    ${all.join(' | \\\n    ')}) ${action}return ;;`);
}

const optionCase = ({ name, options }: ShownCommand): string =>
  `    ${name}:-*) ${words(options.flatMap(dashed))} ;;`;

function argumentCase(command: ShownCommand): string[] {
  const action = actionFor(completedArgument(command)).replace(/; $/, '');
  return action === '' ? [] : [`    ${command.name}:*) ${action} ;;`];
}
