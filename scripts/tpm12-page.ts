/**
 * Writes the table of ordinals in docs/tpm12.md anew, from the commands that the engine has.
 *
 *     node dist/scripts/tpm12-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { ORDINALS, ordinalName } from '../src/testing/guest/constants.js';
import type { AnyCommand } from '../src/tpm/tpm12/command.js';
import { commandsByOrdinal } from '../src/tpm/tpm12/commands.js';

export const PAGE = fileURLToPath(new URL('../../docs/tpm12.md', import.meta.url));
const BEGIN = '<!-- ordinals: made by scripts/tpm12-page.ts, not by hand -->\n';
const END = '<!-- end of ordinals -->\n';

// biome-ignore format: table
const SESSIONS: Readonly<Record<AnyCommand['auth'], string>> = {
  none:     '0',
  one:      '1',
  two:      '2',
  optional: '0 or 1',
  oneOrTwo: '1 or 2',
  upToTwo:  '0 to 2',
};

function row(ordinal: number): string {
  const command = commandsByOrdinal.get(ordinal);
  const number = ordinal.toString(16).padStart(2, '0');
  const sessions = command === undefined ? '' : SESSIONS[command.auth];
  const there = command === undefined ? 'no' : 'yes';
  return `| ${number} | ${ordinalName(ordinal)} | ${there} | ${sessions} |`;
}

/** `text` with its table made anew. */
export function withOrdinals(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error('docs/tpm12.md has lost the marks around its table');
  const ordinals = Object.values(ORDINALS).toSorted((a, b) => a - b);
  const has = ordinals.filter(ordinal => commandsByOrdinal.has(ordinal)).length;
  const lines = [
    `${has} of the ${ordinals.length} ordinals that libtpms has:`,
    '',
    '| ordinal | command | supported | sessions |',
    '| --- | --- | --- | --- |',
    ...ordinals.map(row),
  ];
  return `${before}${BEGIN}\n${lines.join('\n')}\n\n${END}${after}`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(PAGE, withOrdinals(readFileSync(PAGE, 'utf8')));
}
