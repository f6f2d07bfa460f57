/** Thousands of random lives with a power cut in each. @module */
import { liveAndDie } from './power-cut.js';
import { Judged, Sample } from './sample.js';

export interface Campaign {
  readonly lives: number;
  /** The first seed. */
  readonly first: number;
  /** How many images qemu-img judges. */
  readonly samples: number;
}

/** @param tell gets a line for each fault */
export function cutOften({ lives, first, samples }: Campaign, tell: (line: string) => void) {
  const sample = new Sample(lives, samples);
  const judged = new Judged();
  const counts = { cuts: 0, leaking: 0, faulty: 0 };
  for (let seed = first; seed < first + lives; seed += 1) {
    const template = sample.templateOf(seed);
    const { faults, leaks, cut, wreckage } = liveAndDie(template, seed);
    counts.cuts += Number(cut);
    counts.leaking += Number(leaks > 0);
    counts.faulty += Number(faults.length > 0);
    for (const fault of faults) tell(`seed ${seed} (${template.name}): ${fault}`);
    const verdict = sample.judge(seed, wreckage);
    const fault = verdict && judged.count(verdict);
    if (fault !== undefined) tell(`seed ${seed}: ${fault}`);
  }
  sample.close();
  const faults = counts.faulty + judged.corrupt;
  return { lives, templates: sample.templates.length, ...counts, qemu: judged, faults };
}
