/**
 * Updates what the pages show: code of examples/, the help of the command, and the output of the
 * demonstration, each from the thing itself; and the manual page.
 *
 *     node dist/scripts/pages.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_OUTPUT, demoOutput, withoutChance } from '../lab/docs/demo.js';
import { PAGES, withSources } from '../lab/docs/embed.js';
import { MAN_PAGE, manPage } from '../lab/docs/man.js';
import { ROOT } from '../lab/files.js';

// A new run has new keys: the shown one stays as long as it says the same.
const shown = join(ROOT, DEMO_OUTPUT);
const output = demoOutput();
if (withoutChance(output) !== withoutChance(readFileSync(shown, 'utf8'))) {
  writeFileSync(shown, output);
}
writeFileSync(join(ROOT, MAN_PAGE), await manPage());
for (const page of PAGES) {
  const path = join(ROOT, page);
  writeFileSync(path, withSources(readFileSync(path, 'utf8')));
}
