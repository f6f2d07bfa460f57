/** docs/tpm12.md lists the commands that there are. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGE, withOrdinals } from '../../lab/pages/tpm12.js';

test('the table of ordinals is up to date (else run node dist/scripts/tpm12-page.js)', t => {
  const text = readFileSync(PAGE, 'utf8');
  t.is(withOrdinals(text), text);
  t.regex(text, /\| 0a \| TPM_OIAP \| yes \| 0 \|/);
});
