/** The tables of docs/tpm12.md: ordinals, and departures from libtpms. @module */
import { join } from 'node:path';
import { ORDINALS, ordinalName } from '../../src/guest/constants.js';
import type { Command } from '../../src/tpm/tpm12/command.js';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { Tag } from '../../src/tpm/tpm12/structures/types.js';
import { ROOT } from '../files.js';
import { DEPARTURES } from '../reference/departures.js';

/** The marks around a generated table. */
const beginOf = (what: string): string =>
  `<!-- ${what}: made by scripts/tpm12-page.ts, not by hand -->\n`;
const endOf = (what: string): string => `<!-- end of ${what} -->\n`;

/** A page, and the lines of the table in it. */
interface Page {
  readonly path: string;
  readonly what: 'ordinals' | 'departures';
  readonly lines: () => readonly string[];
}

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

export const PAGES: readonly Page[] = [
  { path: join(ROOT, 'docs', 'tpm12.md'), what: 'ordinals', lines: fullTable },
  { path: join(ROOT, 'docs', 'tpm12.md'), what: 'departures', lines: departureTable },
];

/** `text` with its table updated. */
export function withTable(text: string, { path, what, lines }: Page): string {
  const [BEGIN, END] = [beginOf(what), endOf(what)];
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error(`${path} has lost the marks around its table`);
  return `${before}${BEGIN}\n${lines().join('\n')}\n\n${END}${after}`;
}
