/** The layers: imports go one way, and no file imports itself by a detour, types included. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { ROOT } from '../lab/files.js';

const SRC = join(ROOT, 'src');

/** What each layer may import besides itself: docs/architecture.md. */
// biome-ignore format: table
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  root:      [],
  wire:      ['root'],
  native:    ['root'],
  lock:      ['root', 'native'],
  block:     ['root', 'wire', 'lock'],
  nvram:     ['root', 'wire', 'lock', 'block'],
  tpm:       ['root', 'wire'],
  mmio:      ['root', 'wire'],
  tis:       ['root', 'wire', 'mmio'],
  guest:     ['root', 'wire', 'tpm'],
  machine:   ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'mmio', 'tis'],
  migration: ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'mmio', 'tis', 'machine'],
  server:    ['root', 'wire', 'native', 'lock', 'block', 'nvram', 'tpm', 'mmio', 'tis', 'machine', 'migration'],
  testing:   ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'mmio', 'tis', 'machine'],
};

const sources = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(file =>
    file.endsWith('.ts'),
  );

/** What a file imports, as paths from `root`. */
function importsIn(root: string, file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const paths = text.matchAll(/^(?:import|export|\}).* from '(\.[^']+)\.js';$/gm);
  return [...paths].map(([, path]) => `${relative(root, join(root, dirname(file), path!))}.ts`);
}

const importsOf = new Map(sources('src').map(file => [file, importsIn(SRC, file)]));
const layerOf = (file: string): string => (file.includes('/') ? file.split('/')[0]! : 'root');

test('imports go one way', t => {
  const wrong = [...importsOf].flatMap(([file, imports]) =>
    // The package's own entry point and the command import every layer.
    file === 'index.ts' || layerOf(file) === 'cli'
      ? []
      : imports
          .filter(path => ![layerOf(file), ...MAY_IMPORT[layerOf(file)]!].includes(layerOf(path)))
          .map(path => `${file} imports ${path}`),
  );
  t.deepEqual(wrong, []);
});

test('only the entry point, the command line and the guest import an engine of one version', t => {
  const named = [...importsOf]
    .filter(([, imports]) => imports.some(path => path.startsWith('tpm/tpm12/')))
    .map(([file]) => layerOf(file));
  t.deepEqual([...new Set(named)].sort(), ['cli', 'guest', 'root', 'tpm']);
});

test('lab imports only lab and src, and only tests import scripts and test', t => {
  const OUTSIDE: Readonly<Record<string, readonly string[]>> = {
    lab: ['lab', 'src'],
    scripts: ['scripts', 'lab', 'src'],
    bench: ['bench', 'lab', 'src'],
    test: ['test', 'examples', 'scripts', 'lab', 'src'],
  };
  const wrong = Object.entries(OUTSIDE).flatMap(([folder, allowed]) =>
    sources(folder).flatMap(file =>
      importsIn(ROOT, join(folder, file))
        .filter(path => !allowed.includes(path.split('/')[0]!))
        .map(path => `${folder}/${file} imports ${path}`),
    ),
  );
  t.deepEqual(wrong, []);
});

/**
 * The engine of TPM 1.2, lowest first (docs/architecture.md): a file imports what is above it here, or
 * its own row. `state/` is data; a session knows no command; a command knows no dispatcher.
 */
const TPM12: readonly (readonly string[])[] = [
  ['engine.ts', 'state-version.ts'],
  ['kernel/', 'crypto/'],
  ['tpm12/results.ts', 'tpm12/limits.ts', 'tpm12/ordinals.ts'],
  ['tpm12/structures/'],
  ['tpm12/version.ts', 'tpm12/state/'],
  ['tpm12/environment.ts'],
  ['tpm12/auth/'],
  ['tpm12/audit-log.ts', 'tpm12/ticks.ts', 'tpm12/permanent-store.ts', 'tpm12/call.ts'],
  [
    'tpm12/keys/',
    'tpm12/context-seal.ts',
    'tpm12/delegating.ts',
    'tpm12/nv-area.ts',
    'tpm12/monotonic.ts',
    'tpm12/audit-trail.ts',
  ],
  [
    'tpm12/self-test.ts',
    'tpm12/contexts.ts',
    'tpm12/wrapping.ts',
    'tpm12/clearing.ts',
    'tpm12/daa/',
  ],
  ['tpm12/command.ts'],
  ['tpm12/command-table.ts'],
  ['tpm12/commands/'],
  ['tpm12/dispatch.ts'],
  ['tpm12/tpm12.ts'],
];

const rankOf = (file: string): number =>
  TPM12.findIndex(row => row.some(name => file.startsWith(`tpm/${name}`)));

test('within the engine of TPM 1.2 imports go one way, too', t => {
  const files = [...importsOf].filter(([file]) => layerOf(file) === 'tpm');
  t.deepEqual(
    files.filter(([file]) => rankOf(file) < 0).map(([file]) => file),
    [],
  );
  const wrong = files.flatMap(([file, imports]) =>
    imports
      .filter(path => layerOf(path) === 'tpm' && rankOf(path) > rankOf(file))
      .map(path => `${file} imports ${path}`),
  );
  t.deepEqual(wrong, []);
});

test('no two files of the engines have one name', t => {
  const names = [...importsOf.keys()]
    .filter(file => layerOf(file) === 'tpm')
    .map(file => file.slice(file.lastIndexOf('/') + 1));
  t.deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  );
});

test('a script is a main of at most 30 lines', t => {
  const LINES_MAX = 30;
  const linesOf = (file: string): number =>
    readFileSync(join(ROOT, 'scripts', file), 'utf8')
      .trimEnd()
      .split('\n').length;
  t.deepEqual(
    sources('scripts').filter(file => linesOf(file) > LINES_MAX),
    [],
  );
});

test('no file imports itself by a detour', t => {
  const left = new Map(importsOf);
  // Files that import only what is gone go, until none does: what is left is in a circle, or above one.
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [file, paths] of left) if (!paths.some(path => left.has(path))) left.delete(file);
  }
  t.deepEqual([...left.keys()], []);
});
