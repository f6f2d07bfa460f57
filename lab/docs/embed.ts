/**
 * Pages that show files: the code block after `<!-- file: PATH -->` is that file, and after
 * `<!-- file: PATH N -->` its part that begins with a line `// N. …`. Pages are updated from the files,
 * never the other way round, and the files are run by tests.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { ROOT } from '../files.js';

/** Every page that can show a file, from the root of the project. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
];

const BLOCK = /(<!-- file: (\S+)(?: (\d+))? -->\n)```\w*\n[\s\S]*?\n```\n/g;
// biome-ignore format: table
const LANGUAGES: Readonly<Record<string, string>> = { '.mjs': 'js', '.sh': 'sh', '.txt': '' };

/** The files that a page shows, in order. */
export const shownBy = (page: string): string[] =>
  [...page.matchAll(BLOCK)].map(([, , path]) => path ?? '');

/**
 * `page` with every block as its file is now.
 * @throws Error for a file without that part
 */
export function withFiles(page: string): string {
  return page.replace(BLOCK, (_, marker: string, path: string, part: string | undefined) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    const shown = part === undefined ? text : partOf(text, path, part);
    return `${marker}\`\`\`${LANGUAGES[extname(path)] ?? ''}\n${shown.trimEnd()}\n\`\`\`\n`;
  });
}

/** One numbered part, without its heading, moved to the left margin. */
function partOf(text: string, path: string, part: string): string {
  const parts = text.split(/^ *\/\/ (?=\d+\. )/m);
  const found = parts.find(each => each.startsWith(`${part}. `));
  if (found === undefined) throw new Error(`${path} has no part ${part}`);
  return dedented(found.slice(found.indexOf('\n') + 1));
}

function dedented(text: string): string {
  const lines = text.trimEnd().split('\n');
  const indents = lines.filter(line => line !== '').map(line => line.search(/\S/));
  return lines.map(line => line.slice(Math.min(...indents))).join('\n');
}
