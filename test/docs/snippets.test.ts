/**
 * The code in the pages compiles against the package as it is built.
 * @long
 */
import test from 'ava';
import { PAGES } from '../../lab/docs/embed.js';
import { faultsOf, snippetsOf, unchecked } from '../../lab/docs/snippets.js';

const snippets = PAGES.flatMap(snippetsOf);

test('every ts block of the pages compiles', t => {
  t.true(snippets.length > 0);
  t.deepEqual(faultsOf(snippets), []);
});

test('every js block of the pages is run: it is a part of an example, or names its test', t => {
  const lines = PAGES.flatMap(page => unchecked(page).map(line => `${page}:${line}`));
  t.deepEqual(lines, []);
});

test('a block that does not compile is found, at its line', t => {
  const [snippet] = snippets;
  const wrong = {
    ...snippet!,
    line: 40,
    code: "const one = 1;\nimport { no } from 'nvtpm/lock';\n",
  };
  t.deepEqual(faultsOf([wrong]), [
    `${wrong.page}:41: Module '"nvtpm/lock"' has no exported member 'no'.`,
  ]);
});
