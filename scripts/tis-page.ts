/**
 * Writes the register page of docs/tis.md anew, from the table that the device itself works by.
 *
 *     node dist/scripts/tis-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { TIS } from '../src/tis/registers.js';
import type { Register } from '../src/tis/regmap.js';

export const PAGE = fileURLToPath(new URL('../../docs/tis.md', import.meta.url));
const BEGIN = '<!-- registers: made by scripts/tis-page.ts, not by hand -->\n';
const END = '<!-- end of registers -->\n';

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

function section(name: string, register: Register): string {
  const { offset, bytes, span, reads, writes, about, reset } = register;
  const last = offset + Math.max(bytes, span === 4 ? bytes : span) - 1;
  const place = last === offset ? hex(offset, 3) : `${hex(offset, 3)} to ${hex(last, 3)}`;
  const fields = Object.entries(register.fields);
  const head = [
    `### ${name} (${place})`,
    '',
    `${about} Reads: ${reads}. Writes: ${writes}.${fields.length > 0 ? ` After reset: ${hex(reset, 2 * bytes)}.` : ''}`,
    '',
  ];
  if (fields.length === 0) return head.join('\n');
  const rows = fields.map(([field, { hi, lo, access, reset: value, about: what }]) => {
    const where = hi === lo ? `${hi}` : `${hi}:${lo}`;
    return `| ${where} | ${field} | ${access} | ${value} | ${what} |`;
  });
  const table = [
    '| bits | field | access | reset | |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ];
  return [...head, ...table].join('\n');
}

/** `text` with its register page made anew. */
export function withRegisters(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error('docs/tis.md has lost the marks around its registers');
  const sections = Object.entries(TIS).map(([name, register]) => section(name, register));
  return `${before}${BEGIN}\n${sections.join('\n')}\n${END}${after}`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(PAGE, withRegisters(readFileSync(PAGE, 'utf8')));
}
