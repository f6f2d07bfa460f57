/** The table of ordinals in docs/tpm12.md, from the commands that the engine has. @module */
import { join } from 'node:path';
import { ORDINALS, ordinalName } from '../../src/guest/constants.js';
import type { Command } from '../../src/tpm/tpm12/command.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { Tag } from '../../src/tpm/tpm12/structures/types.js';
import { ROOT } from '../files.js';

const BEGIN = '<!-- ordinals: made by scripts/tpm12-page.ts, not by hand -->\n';
const END = '<!-- end of ordinals -->\n';

export const PAGE = join(ROOT, 'docs', 'tpm12.md');

/** How many sessions a command comes with, by the tags that it takes. */
const sessionsOf = ({ tags }: Command): string => {
  const counts = tags.map(tag => tag - Tag.COMMAND);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return most > least + 1 ? `${least} to ${most}` : counts.join(' or ');
};

function row(ordinal: number): string {
  const command = COMMANDS.get(ordinal);
  const number = ordinal.toString(16).padStart(2, '0');
  const sessions = command === undefined ? '' : sessionsOf(command);
  const there = command === undefined ? 'no' : 'yes';
  return `| ${number} | ${ordinalName(ordinal)} | ${there} | ${sessions} |`;
}

const ALL: readonly number[] = Object.values(ORDINALS).toSorted((a, b) => a - b);

/** Every command with its sessions. */
function fullTable(): string[] {
  const has = ALL.filter(ordinal => COMMANDS.get(ordinal) !== undefined).length;
  return [
    `${has} of the ${ALL.length} ordinals that libtpms has:`,
    '',
    '| ordinal | command | supported | sessions |',
    '| --- | --- | --- | --- |',
    ...ALL.map(row),
  ];
}

/** `text` with its table updated. */
export function withOrdinals(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error('docs/tpm12.md has lost the marks around its ordinals');
  return `${before}${BEGIN}\n${fullTable().join('\n')}\n\n${END}${after}`;
}
