/**
 * Pages that show files and output. The code block after `<!-- file: PATH -->` is that file; after
 * `<!-- file: PATH N -->` its part that begins with a line `// N. …`; after `<!-- run: nvtpm … -->`
 * what that command prints. Pages are updated from these, never the other way round.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { ROOT } from '../files.js';
import { nvtpm } from '../program/cli.js';

/** The pages that can show files and output, from the root of the project. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
];

const BLOCK = /(<!-- (file|run): (.+) -->\n)```\w*\n[\s\S]*?\n```\n/g;
// biome-ignore format: table
const LANGUAGES: Readonly<Record<string, string>> = { '.mjs': 'js', '.sh': 'sh' };

/** The files that a page shows, in order. */
export const shownBy = (page: string): string[] =>
  [...page.matchAll(BLOCK)].map(([, , , source = '']) => source.split(' ', 1)[0] ?? '');

/**
 * `page` with every block as its file, or the output of its command, is now.
 * @throws Error for a part that its file does not have, and for a command that fails
 */
export function withSources(page: string): string {
  return page.replace(BLOCK, (_, marker: string, kind: string, source: string) => {
    const [language, text] = kind === 'file' ? fileBlock(source) : ['', outputOf(source)];
    return `${marker}\`\`\`${language}\n${text.trimEnd()}\n\`\`\`\n`;
  });
}

function fileBlock(source: string): [language: string, text: string] {
  const [path = '', part] = source.split(' ');
  const text = readFileSync(join(ROOT, path), 'utf8');
  return [LANGUAGES[extname(path)] ?? '', part === undefined ? text : partOf(text, path, part)];
}

function outputOf(source: string): string {
  const [, ...args] = source.split(' ');
  const { exit, out, err } = nvtpm(args);
  if (exit !== 0) throw new Error(`${source} ended with ${exit}:\n${out}${err}`);
  return out;
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
