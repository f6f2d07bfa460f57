/**
 * Updates the table of ordinals in docs/tpm12.md.
 *
 *     node dist/scripts/tpm12-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parameters } from '../lab/arguments.js';
import { PAGE, withOrdinals } from '../lab/pages/tpm12.js';

parameters('tpm12-page', {});
writeFileSync(PAGE, withOrdinals(readFileSync(PAGE, 'utf8')));
