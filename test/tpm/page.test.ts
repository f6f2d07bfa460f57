/** docs/tpm12.md lists the commands that there are. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { PAGES, withTable } from '../../lab/pages/tpm12.js';

test('the tables of ordinals and departures are up to date (else run node dist/scripts/tpm12-page.js)', t => {
  const texts = PAGES.map(page => {
    const text = readFileSync(page.path, 'utf8');
    t.is(withTable(text, page), text);
    return text;
  });
  t.regex(texts[0]!, /\| 0a \| TPM_OIAP \| yes \| 0 \|/);
});
