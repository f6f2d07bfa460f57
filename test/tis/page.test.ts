/** docs/tis.md shows the registers as the table has them. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGE, withRegisters } from '../../lab/pages/tis.js';

test('the register page is up to date (else run node dist/scripts/tis-page.js)', t => {
  const text = readFileSync(PAGE, 'utf8');
  t.is(withRegisters(text), text);
  t.regex(text, /### STS \(018 to 01b\)/);
  t.regex(text, /\| 31 \| globalIntEnable \| rw \| 0 \|/);
});
