/** The generated parts of docs/tis.md. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGE, withParts } from '../../lab/pages/tis.js';

test('docs/tis.md is up to date (else run node dist/scripts/tis-page.js)', t => {
  const text = readFileSync(PAGE, 'utf8');
  t.is(withParts(text), text);
  t.regex(text, /### STS \(018 to 01b\)/);
  t.regex(text, /\| 31 \| globalIntEnable \| rw \| 0 \|/);
  t.regex(text, /\| locality change \|/);
});
