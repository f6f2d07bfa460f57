/**
 * The pages: their code is that of the examples, their links lead somewhere, the demo's output is
 * current.
 * @long
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { DEMO_OUTPUT, demoOutput, withoutChance } from '../../lab/docs/demo.js';
import { PAGES, shownBy, withSources } from '../../lab/docs/embed.js';
import { MAN_PAGE, manPage } from '../../lab/docs/man.js';
import { ROOT } from '../../lab/files.js';
import { peerTest } from '../_peers.js';

const ALL = [...PAGES, 'CONTRIBUTING.md', 'CHANGELOG.md', 'examples/v86-linux/README.md'];
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

for (const page of PAGES) {
  test(`${page} shows files as they are (node dist/scripts/pages.js updates it)`, t => {
    t.is(withSources(read(page)), read(page));
  });
}

test('every example is shown by a page', t => {
  const shown = new Set(PAGES.flatMap(page => shownBy(read(page))));
  const examples = readdirSync(join(ROOT, 'examples')).filter(name => /\.(mjs|sh)$/.test(name));
  t.deepEqual(
    examples.filter(name => !shown.has(`examples/${name}`)),
    [],
  );
});

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** What is wrong with a link from a page of this project, if anything is. */
function faultOf(page: string, link: string): string | undefined {
  const [path, anchor] = link.split('#');
  const target = path === '' ? page : join(dirname(page), path!);
  if (!existsSync(join(ROOT, target))) return `${page}: ${link} leads nowhere`;
  if (anchor === undefined || !target.endsWith('.md')) return undefined;
  return anchorsOf(read(target)).includes(anchor) ? undefined : `${page}: no heading for ${link}`;
}

test('every link within the project leads to a file, and to a heading in it', t => {
  const faults = ALL.flatMap(page =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter(link => !/^https?:/.test(link))
      .map(link => faultOf(page, link)),
  );
  t.deepEqual(
    faults.filter(fault => fault !== undefined),
    [],
  );
});

test('every page of docs/ is in its index', t => {
  const index = read('docs/README.md');
  const pages = readdirSync(join(ROOT, 'docs')).filter(name => name.endsWith('.md'));
  t.deepEqual(
    pages.filter(name => name !== 'README.md' && !index.includes(`](${name})`)),
    [],
  );
});

test('the output that the README shows is that of a run today (node dist/scripts/pages.js)', t => {
  t.is(withoutChance(demoOutput()), withoutChance(read(DEMO_OUTPUT)));
});

test('the manual page is that of the command line today (node dist/scripts/pages.js)', async t => {
  t.is(read(MAN_PAGE), await manPage());
});

peerTest('the manual page is formatted without a warning', ['groff'], t => {
  const args = ['-man', '-Tascii', '-ww', join(ROOT, MAN_PAGE)];
  const { status, stdout, stderr } = spawnSync('groff', args, { encoding: 'utf8' });
  t.is(status, 0, stderr);
  t.is(stderr, '');
  t.regex(stdout, /^NVTPM\(1\) /);
});

test('docs/architecture.md leads from the specification to every structure and command', t => {
  const named = [
    ...read('docs/architecture.md').matchAll(/`((?:structures|commands)\/[\w-]+\.ts)`/g),
  ];
  const found = ['structures', 'commands'].flatMap(folder =>
    readdirSync(join(ROOT, 'src/tpm/tpm12', folder)).map(file => `${folder}/${file}`),
  );
  t.deepEqual(
    named.map(([, path]) => path).sort(),
    found.filter(path => path !== 'commands/index.ts').sort(),
  );
});
