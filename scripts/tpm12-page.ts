/**
 * Writes the table of ordinals in docs/tpm12.md anew, from the commands that the engine has.
 *
 *     node dist/scripts/tpm12-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ORDINALS, ordinalName } from '../src/guest/constants.js';
import type { Command } from '../src/tpm/tpm12/command.js';
import { COMMANDS } from '../src/tpm/tpm12/commands/index.js';
import { Tag } from '../src/tpm/tpm12/structures/types.js';

const BEGIN = '<!-- ordinals: made by scripts/tpm12-page.ts, not by hand -->\n';
const END = '<!-- end of ordinals -->\n';

/** A page, and the lines of the table in it. */
interface Page {
  readonly path: string;
  readonly lines: () => readonly string[];
}
const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

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

export const PAGES: readonly Page[] = [{ path: root('docs/tpm12.md'), lines: fullTable }];

/** `text` with its table made anew. */
export function withOrdinals(text: string, { path, lines }: Page): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error(`${path} has lost the marks around its table`);
  return `${before}${BEGIN}\n${lines().join('\n')}\n\n${END}${after}`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  for (const page of PAGES) {
    writeFileSync(page.path, withOrdinals(readFileSync(page.path, 'utf8'), page));
  }
}
