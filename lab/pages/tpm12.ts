/**
 * The generated tables of docs/tpm12.md: the ordinals, from the engine's commands, and the departures
 * from libtpms.
 * @module
 */
import { join } from 'node:path';
import { ORDINALS, ordinalName } from '../../src/guest/constants.js';
import type { Command } from '../../src/tpm/tpm12/command.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { Tag } from '../../src/tpm/tpm12/structures/types.js';
import { ROOT } from '../files.js';
import { DEPARTURES } from '../reference/departures.js';

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

/** Where the engine departs from libtpms; a star marks what a test shows on both. */
function departureTable(): string[] {
  const rows = DEPARTURES.map(
    ({ on, libtpms, here, why, shown }) =>
      `| ${shown === true ? '* ' : ''}${on} | ${libtpms} | ${here} | ${why} |`,
  );
  return ['| | libtpms 0.9.2 | here | why |', '| --- | --- | --- | --- |', ...rows];
}

/** The tables by the name in the marks around them. */
const TABLES = { ordinals: fullTable, departures: departureTable } as const;

/** `text` with its tables updated. */
export const withTables = (text: string): string =>
  Object.entries(TABLES).reduce((page, [name, lines]) => withTable(page, name, lines()), text);

function withTable(text: string, name: string, lines: readonly string[]): string {
  const begin = `<!-- ${name}: made by scripts/tpm12-page.ts, not by hand -->\n`;
  const end = `<!-- end of ${name} -->\n`;
  const [before, rest] = text.split(begin);
  const [, after] = (rest ?? '').split(end);
  if (after === undefined) throw new Error(`docs/tpm12.md has lost the marks around its ${name}`);
  return `${before}${begin}\n${lines.join('\n')}\n\n${end}${after}`;
}
