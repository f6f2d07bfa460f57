/**
 * `nvtpm completion`: a script for a shell that completes commands, options, their values and files.
 * @module
 */
import type { CommandLine } from '../command-line.js';
import { bashScript } from '../completion/bash.js';
import { fishScript } from '../completion/fish.js';
import { zshScript } from '../completion/zsh.js';
import { UsageError } from '../output.js';
import { subcommand } from '../subcommand.js';

const SCRIPTS: ReadonlyMap<string, (line: CommandLine) => string> = new Map([
  ['bash', bashScript],
  ['zsh', zshScript],
  ['fish', fishScript],
]);
const SHELLS = [...SCRIPTS.keys()];

export const completion = subcommand({
  name: 'completion',
  summary: 'print a script that completes commands, options and files in a shell',
  arguments: { '<shell>': SHELLS.join(', ') },
  choices: SHELLS,
  options: {},
  isOnImage: false,
  example: `source <(nvtpm completion bash)
nvtpm completion zsh >"\${fpath[1]}/_nvtpm"
nvtpm completion fish >~/.config/fish/completions/nvtpm.fish`,
  run: async ({ file: shell, commandLine }) => {
    const scriptFor = SCRIPTS.get(shell);
    if (scriptFor === undefined) {
      throw new UsageError(
        `invalid shell ${JSON.stringify(shell)}: expected one of ${SHELLS.join(', ')}`,
      );
    }
    const script = scriptFor(await commandLine());
    return { lines: [script.trimEnd()], data: { shell, script } };
  },
});
