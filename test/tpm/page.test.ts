/** docs/tpm12.md lists the commands and the departures that there are. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGE, withTables } from '../../lab/pages/tpm12.js';

test('the tables of docs/tpm12.md are up to date (else run node dist/scripts/tpm12-page.js)', t => {
  const text = readFileSync(PAGE, 'utf8');
  t.is(withTables(text), text);
  t.regex(text, /\| 0a \| TPM_OIAP \| yes \| 0 \|/);
});
