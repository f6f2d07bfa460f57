/**
 * trousers' clients (tpm-tools, tpm-quote-tools, simple-tpm-pk11) before swtpm over TCP and before
 * `nvtpm serve` on a qcow2 image, step by step: each must have the same exit code and say the same,
 * but for the bytes of keys. lab/tools/ does it; this shows it.
 *
 *     node dist/scripts/compare-tools.js
 *
 * Needs swtpm, trousers and its clients (scripts/peers.sh).
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { compared } from '../lab/tools/comparison.js';
import { LIFE, REVOCABLE } from '../lab/tools/steps.js';

const totals = { steps: 0, tools: 0, differences: 0, surprises: 0 };
for (const steps of [LIFE, REVOCABLE]) {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-tools-'));
  try {
    const { theirs, ours, surprises } = await compared(folder, steps);
    theirs.forEach((expected, at) => {
      const found = ours[at];
      const same = isDeepStrictEqual(expected, found);
      const surprise = surprises.includes(expected);
      console.log(
        `${same ? 'same' : 'DIFFERENT'}${surprise ? ', SURPRISING' : ''}: ` +
          `${expected.step} (exit code ${expected.code})`,
      );
      if (!same || surprise) console.log({ expected, found });
      totals.steps += 1;
      totals.differences += same ? 0 : 1;
      totals.surprises += surprise ? 1 : 0;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
const programs = [...LIFE, ...REVOCABLE].flatMap(step => ('tool' in step ? [step.tool[0]!] : []));
totals.tools = new Set(programs.filter(name => /^s?tpm[_-]/.test(name))).size;
console.log(JSON.stringify(totals));
process.exit(totals.differences + totals.surprises > 0 ? 1 : 0);
