/**
 * Generates the register page and the table of departures in docs/tis.md.
 *
 *     node dist/scripts/tis-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parameters } from '../lab/arguments.js';
import { PAGE, withParts } from '../lab/pages/tis.js';

parameters('tis-page', {});
writeFileSync(PAGE, withParts(readFileSync(PAGE, 'utf8')));
