/**
 * Updates what pages show of files: the code blocks of README.md and docs/ from examples/, and the
 * output of the demonstration from a run of it.
 *
 *     node dist/scripts/pages.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_OUTPUT, demoOutput } from '../lab/docs/demo.js';
import { PAGES, withFiles } from '../lab/docs/embed.js';
import { ROOT } from '../lab/files.js';

writeFileSync(join(ROOT, DEMO_OUTPUT), demoOutput());
for (const page of PAGES) {
  const path = join(ROOT, page);
  writeFileSync(path, withFiles(readFileSync(path, 'utf8')));
}
