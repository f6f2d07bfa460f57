/**
 * Updates the tables of docs/tpm12.md: the ordinals, and the departures from libtpms.
 *
 *     node dist/scripts/tpm12-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parameters } from '../lab/arguments.js';
import { PAGE, withTables } from '../lab/pages/tpm12.js';

parameters('tpm12-page', {});
writeFileSync(PAGE, withTables(readFileSync(PAGE, 'utf8')));
