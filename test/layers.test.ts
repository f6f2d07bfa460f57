/** The layers: imports go one way, and no file imports itself by a detour, types included. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { ROOT } from './_files.js';

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
  tis:       ['root', 'wire'],
  guest:     ['root', 'wire', 'tpm'],
  machine:   ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'tis'],
  migration: ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'tis', 'machine'],
  server:    ['root', 'wire', 'native', 'lock', 'block', 'nvram', 'tpm', 'tis', 'machine', 'migration'],
  testing:   ['root', 'wire', 'lock', 'block', 'nvram', 'tpm', 'tis', 'machine'],
};

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(f =>
  f.endsWith('.ts'),
);
const importsOf = new Map(
  files.map(file => {
    const text = readFileSync(join(SRC, file), 'utf8');
    const paths = [...text.matchAll(/^(?:import|export|\}).* from '(\.[^']+)\.js';$/gm)];
    return [file, paths.map(([, path]) => `${relative(SRC, join(SRC, dirname(file), path!))}.ts`)];
  }),
);
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

test('no file imports itself by a detour', t => {
  const left = new Map(importsOf);
  // Files that import only what is gone go, until none does: what is left is in a circle, or above one.
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [file, paths] of left) if (!paths.some(path => left.has(path))) left.delete(file);
  }
  t.deepEqual([...left.keys()], []);
});
