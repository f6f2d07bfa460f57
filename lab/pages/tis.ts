/** The register page of docs/tis.md, from the table that the device itself works by. @module */
import { join } from 'node:path';
import { TIS } from '../../src/tis/registers.js';
import type { Register } from '../../src/tis/regmap.js';
import { ROOT } from '../files.js';

export const PAGE = join(ROOT, 'docs', 'tis.md');
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

/** `text` with its register page updated. */
export function withRegisters(text: string): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = (rest ?? '').split(END);
  if (after === undefined) throw new Error('docs/tis.md has lost the marks around its registers');
  const sections = Object.entries(TIS).map(([name, register]) => section(name, register));
  return `${before}${BEGIN}\n${sections.join('\n')}\n${END}${after}`;
}
