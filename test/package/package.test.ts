/**
 * The package as npm publishes it: complete, without what has no use, and sound for its consumers.
 * @long
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import test from 'ava';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { MANIFEST, pack } from './_packed.js';

const packed = pack();

test('every entry point is packed with its types', t => {
  for (const path of Object.values(MANIFEST.exports)) {
    t.true(packed.files.includes(path.slice(2)), path);
    if (path.endsWith('.js')) t.true(packed.files.includes(path.slice(2).replace(/js$/, 'd.ts')));
  }
  t.true(packed.files.includes(MANIFEST.bin['nvtpm']!));
});

test('tests, fixtures, the workshop and declarations of the command are not packed', t => {
  const PACKED =
    /^(dist\/src\/|docs\/|man\/nvtpm\.1$|examples\/[^/]+\.(mjs|sh)$|package\.json$|[A-Z]+(\.md)?$)/;
  t.deepEqual(
    packed.files.filter(path => !PACKED.test(path)),
    [],
  );
  t.deepEqual(
    packed.files.filter(path => /^dist\/src\/cli\/.*\.d\.ts$/.test(path)),
    [],
  );
});

test('every source map has its source inside', t => {
  const maps = packed.files.filter(path => path.endsWith('.map'));
  t.true(maps.length > 100);
  for (const path of maps) {
    const { sources, sourcesContent } = JSON.parse(readFileSync(join(packed.root, path), 'utf8'));
    t.is(sourcesContent?.length, sources.length, path);
  }
});

test('publint finds nothing', async t => {
  const { messages, pkg } = await publint({
    pack: { tarball: packed.tarball.buffer },
    strict: true,
  });
  t.deepEqual(
    messages.map(message => formatMessage(message, pkg)),
    [],
  );
});

test('the types are right for ESM and for bundlers', async t => {
  const { problems, ...rest } = (await checkPackage(
    createPackageFromTarballData(packed.tarball),
  )) as Extract<Awaited<ReturnType<typeof checkPackage>>, { types: { kind: string } }>;
  t.is(rest.types.kind, 'included');
  // The package is ESM only: CommonJS gets it by import(), and node10 resolution knows no exports.
  const expected = problems.filter(
    ({ kind, ...where }) =>
      kind === 'CJSResolvesToESM' ||
      ('resolutionKind' in where && where.resolutionKind === 'node10'),
  );
  t.deepEqual(
    problems.filter(problem => !expected.includes(problem)),
    [],
  );
});

test('what npm shows names only what exists', t => {
  const invented = ['repository', 'homepage', 'bugs', 'author'].filter(field => field in MANIFEST);
  t.deepEqual(invented, []);
  // A user's install runs no script of this package.
  const RUN_BY_INSTALL = ['preinstall', 'install', 'postinstall', 'prepare'];
  t.deepEqual(
    RUN_BY_INSTALL.filter(script => script in MANIFEST.scripts),
    [],
  );
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) t.true(packed.files.includes(name));
});

test('an error of the installed package shows the line of its source', t => {
  const program = join(packed.folder, 'uncaught.mjs');
  writeFileSync(program, "import { openImage } from 'nvtpm/block';\nopenImage('missing.qcow2');\n");
  const { stderr } = spawnSync(process.execPath, ['--enable-source-maps', program], {
    encoding: 'utf8',
  });
  t.regex(stderr, /src[/\\]block[/\\]file\.ts:\d+\n.*throw new IoError/);
});
