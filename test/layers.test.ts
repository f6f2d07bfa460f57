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

test('no file imports itself by a detour', t => {
  const left = new Map(importsOf);
  // Files that import only what is gone go, until none does: what is left is in a circle, or above one.
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [file, paths] of left) if (!paths.some(path => left.has(path))) left.delete(file);
  }
  t.deepEqual([...left.keys()], []);
});
