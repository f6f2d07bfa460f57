/** Random lives in one of the two TPMs, whose states then open in both. @module */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Swtpm } from '../peers/swtpm.js';
import type { Difference } from '../recorder/replay.js';
import { addContents } from './contents.js';
import { live } from './lives.js';
import { born, type Origin, travel } from './proof.js';

export interface Campaign {
  readonly lives: number;
  /** The first seed. */
  readonly first: number;
  readonly origins: readonly Origin[];
}
export const ORIGINS: readonly Origin[] = ['ours', 'theirs'];
const PROGRESS = 50;

/** @param tell gets progress, and differences */
export function travelOften({ lives, first, origins }: Campaign, tell: (line: string) => void) {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-travel-'));
  const tpm = new Swtpm(folder);
  try {
    return origins.map(origin => {
      let [commands, bytesMax, different] = [0, 0, 0];
      const contents = new Map<string, { states: number; things: number }>();
      for (let seed = first; seed < first + lives; seed += 1) {
        const journey = travel(live(born(origin, tpm), seed), tpm);
        commands += journey.commands;
        bytesMax = Math.max(bytesMax, journey.states.permall!.length);
        addContents(contents, journey.states);
        const lived = seed - first + 1;
        if (lived % PROGRESS === 0) tell(`${origin}: ${lived} lives, ${commands} commands`);
        if (journey.differences.length === 0) continue;
        different += 1;
        tell(`${origin}, seed ${seed}: ${journey.differences.length} differences`);
        tell(journey.differences.slice(0, 3).map(brief).join('\n'));
      }
      return {
        origin,
        lives,
        bytesMax,
        commands,
        different,
        contents: Object.fromEntries(contents),
      };
    });
  } finally {
    tpm.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first bytes that differ, and where they are. */
function brief({ what, recorded, ours }: Difference): string {
  let at = 0;
  while (at < recorded.length && recorded[at] === ours[at]) at += 2;
  const part = (text: string): string => text.slice(at, at + 80);
  return `  ${what.slice(0, 200)}: from byte ${at / 2} of ${recorded.length / 2}, libtpms ${part(recorded)}, ours ${part(ours)}`;
}
