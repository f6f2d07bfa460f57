/** Thousands of random lives in which writes, flushes and truncations fail. @module */
import { randomLife } from './failing-writes.js';
import { Judged, Sample } from './sample.js';

export interface Campaign {
  readonly lives: number;
  /** The first seed. */
  readonly first: number;
  /** How many images qemu-img judges. */
  readonly samples: number;
}

/** @param tell gets a line for each fault */
export function failOften({ lives, first, samples }: Campaign, tell: (line: string) => void) {
  const sample = new Sample(lives, samples);
  const judged = new Judged();
  const counts = { failing: 0, marked: 0, refused: 0, foreign: 0 };
  for (let seed = first; seed < first + lives; seed += 1) {
    const template = sample.templateOf(seed);
    const { findings, failures, left } = randomLife(template, seed);
    counts.failing += Number(failures > 0);
    for (const finding of findings) {
      if (finding.startsWith('check: ')) counts.marked += 1;
      else if (finding.startsWith('byte ')) counts.foreign += 1;
      else counts.refused += 1;
      tell(`seed ${seed} (${template.name}): ${finding}`);
    }
    // QEMU checks an overlay only beside its backing file, which is not there as it was.
    const verdict = template.backing === undefined ? sample.judge(seed, left) : undefined;
    const fault = verdict && judged.count(verdict);
    if (fault !== undefined) tell(`seed ${seed}: ${fault}`);
  }
  sample.close();
  const faults = counts.marked + counts.refused + counts.foreign + judged.corrupt;
  return { lives, templates: sample.templates.length, ...counts, qemu: judged, faults };
}
