/** The steps before both TPMs, and what was not as it was known to be. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Seen, seenBy } from './scenario.js';
import type { Step } from './steps.js';
import { OwnSubject, type Subject, SwtpmSubject } from './subjects.js';

/** The programs that have to be there. */
export const PEERS = ['swtpm', 'fakeroot', 'tcsd', 'tpm_version', 'tpm_mkaik', 'stpm-keygen'];

export interface Comparison {
  readonly theirs: readonly Seen[];
  readonly ours: readonly Seen[];
  /** Steps of swtpm that did not do what the table says: the comparison would show little. */
  readonly surprises: readonly Seen[];
}

export async function compared(folder: string, steps: readonly Step[]): Promise<Comparison> {
  const both = [
    seenIn(join(folder, 'theirs'), of => new SwtpmSubject(of), steps),
    seenIn(join(folder, 'ours'), of => new OwnSubject(of), steps),
  ] as const;
  // Each ends what it has started, also where the other one fails.
  await Promise.allSettled(both);
  const [theirs, ours] = await Promise.all(both);
  const visible = steps.filter(step => !('cut' in step));
  const surprises = theirs.filter((seen, at) => isSurprise(seen, visible[at]!));
  return { theirs, ours, surprises };
}

function seenIn(folder: string, make: (folder: string) => Subject, steps: readonly Step[]) {
  mkdirSync(folder);
  return seenBy(folder, make, steps);
}

const isSurprise = ({ code, out, sameEk }: Seen, step: Step): boolean =>
  !sameEk ||
  ('quote' in step && out !== 'sound') ||
  ('tool' in step && (code !== 0) !== (step.fails ?? false));
