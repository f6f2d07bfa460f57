/**
 * Generates the tables of ordinals and of departures from libtpms in docs/tpm12.md.
 *
 *     node dist/scripts/tpm12-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parameters } from '../lab/arguments.js';
import { PAGES, withTable } from '../lab/pages/tpm12.js';

parameters('tpm12-page', {});
for (const page of PAGES) {
  writeFileSync(page.path, withTable(readFileSync(page.path, 'utf8'), page));
}
