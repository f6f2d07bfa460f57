/**
 * Updates the register page of docs/tis.md.
 *
 *     node dist/scripts/tis-page.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parameters } from '../lab/arguments.js';
import { PAGE, withRegisters } from '../lab/pages/tis.js';

parameters('tis-page', {});
writeFileSync(PAGE, withRegisters(readFileSync(PAGE, 'utf8')));
