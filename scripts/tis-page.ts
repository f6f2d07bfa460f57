/**
 * Generates the register page and the table of departures in docs/tis.md.
 *
 *     node dist/scripts/tis-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { PAGE, withParts } from '../lab/tis/page.js';

writeFileSync(PAGE, withParts(readFileSync(PAGE, 'utf8')));
