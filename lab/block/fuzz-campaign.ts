/** Thousands of damaged images, each used in every way. @module */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { damaged, ourVerdict, use, type Verdict } from './fuzz.js';
import { type QemuVerdict, Sample } from './sample.js';

export interface Campaign {
  readonly images: number;
  /** The first seed. */
  readonly first: number;
  /** How many images qemu-img judges too. */
  readonly samples: number;
}

const MIB = 2 ** 20;
const LIMITS = { slowestMs: 1000, growthMib: 64 };

function verdictOf(image: Uint8Array): Verdict {
  try {
    return ourVerdict(image);
  } catch {
    return 1;
  }
}

/** How our verdicts compare with those of qemu-img. */
class Compared {
  same = 0;
  different = 0;
  /** QEMU opens what the image names as its backing file before it checks; ours does not. */
  withoutBacking = 0;

  /** @returns the difference, as a sentence */
  count({ status, text }: QemuVerdict, ours: Verdict): string | undefined {
    if (/Could not open backing file/.test(text)) this.withoutBacking += 1;
    else if (status === ours) this.same += 1;
    else {
      this.different += 1;
      return `qemu-img check says ${status}, we say ${ours}`;
    }
    return undefined;
  }
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** @param tell gets a line for each fault */
export function damageOften({ images, first, samples }: Campaign, tell: (line: string) => void) {
  const sample = new Sample(images, samples);
  const compared = new Compared();
  const collectGarbage = garbageCollector();
  const found = { bugs: 0, refused: 0, slowestMs: 0, slowestSeed: 0, growthMib: 0 };
  // What is loaded and compiled by the first use does not count as growth.
  for (const { image } of sample.templates) use(image);
  collectGarbage();
  const before = process.memoryUsage.rss();
  for (let seed = first; seed < first + images; seed += 1) {
    const image = damaged(sample.templateOf(seed), seed);
    // What earlier images left behind is not what this one takes.
    collectGarbage();
    const started = process.cpuUsage();
    try {
      found.refused += Number(use(image).refusals > 0);
    } catch (error) {
      found.bugs += 1;
      tell(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
    }
    const { user, system } = process.cpuUsage(started);
    const ms = (user + system) / 1000;
    if (ms > found.slowestMs) Object.assign(found, { slowestMs: ms, slowestSeed: seed });
    found.growthMib = Math.max(found.growthMib, (process.memoryUsage.rss() - before) / MIB);
    const theirs = sample.judge(seed, image);
    const difference = theirs && compared.count(theirs, verdictOf(image));
    if (difference !== undefined) tell(`seed ${seed}: ${difference}`);
  }
  sample.close();
  const { bugs, slowestMs, growthMib } = found;
  const failed = bugs > 0 || slowestMs >= LIMITS.slowestMs || growthMib >= LIMITS.growthMib;
  return { images, templates: sample.templates.length, ...found, qemu: compared, failed };
}
