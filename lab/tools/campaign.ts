/** trousers' clients before swtpm and before `nvtpm serve`, step by step. @module */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { compared } from './comparison.js';
import { LIFE, REVOCABLE } from './steps.js';

/** @param tell gets a line for each step, and both results where they differ */
export async function compareTools(tell: (line: string) => void) {
  const totals = { steps: 0, tools: 0, differences: 0, surprises: 0 };
  for (const steps of [LIFE, REVOCABLE]) {
    const folder = mkdtempSync(join(tmpdir(), 'nvtpm-tools-'));
    try {
      const { theirs, ours, surprises } = await compared(folder, steps);
      theirs.forEach((expected, at) => {
        const found = ours[at];
        const same = isDeepStrictEqual(expected, found);
        const surprise = surprises.includes(expected);
        const verdict = `${same ? 'same' : 'DIFFERENT'}${surprise ? ', SURPRISING' : ''}`;
        tell(`${verdict}: ${expected.step} (exit code ${expected.code})`);
        if (!same || surprise) tell(JSON.stringify({ expected, found }, null, 2));
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
  return totals;
}
