/**
 * States that travel between this engine and libtpms: lives at random, lived by one of them, and then
 * the same questions to both, and the bytes that both write back.
 *
 *     node dist/scripts/travel-tpm12.js [lives [first-seed [ours|theirs]]]
 *
 * Default: 500 lives lived by each of the two. Ends with exit code 1 where anything differs, and shows
 * what. Needs swtpm (scripts/peers.sh).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Swtpm } from '../lab/peers/swtpm.js';
import type { Difference } from '../lab/recorder/replay.js';
import { addContents } from '../lab/travel/contents.js';
import { live } from '../lab/travel/lives.js';
import { born, type Origin, travel } from '../lab/travel/proof.js';

const [lives = '500', first = '1', only] = process.argv.slice(2);
const PROGRESS = 50;
const ORIGINS: readonly Origin[] = ['ours', 'theirs'];
const folder = mkdtempSync(join(tmpdir(), 'nvtpm-travel-'));
const tpm = new Swtpm(folder);
let different = 0;

for (const origin of ORIGINS.filter(one => only === undefined || one === only)) {
  let [commands, bytesMax] = [0, 0];
  const contents = new Map<string, { states: number; things: number }>();
  for (let seed = Number(first); seed < Number(first) + Number(lives); seed += 1) {
    const journey = travel(live(born(origin, tpm), seed), tpm);
    commands += journey.commands;
    bytesMax = Math.max(bytesMax, journey.states.permall!.length);
    addContents(contents, journey.states);
    const lived = seed - Number(first) + 1;
    if (lived % PROGRESS === 0) console.error(`${origin}: ${lived} lives, ${commands} commands`);
    if (journey.differences.length === 0) continue;
    different += 1;
    console.error(`${origin}, seed ${seed}: ${journey.differences.length} differences`);
    console.error(journey.differences.slice(0, 3).map(brief).join('\n'));
  }
  for (const [what, { states, things }] of contents) {
    console.log(`${what}: in ${states} states, ${things} in all`);
  }
  console.log(JSON.stringify({ origin, lives: Number(lives), bytesMax, commands, different }));
}

/** Where two differ, and how; of all their bytes nobody would find it. */
function brief({ what, recorded, ours }: Difference): string {
  let at = 0;
  while (at < recorded.length && recorded[at] === ours[at]) at += 2;
  const part = (text: string): string => text.slice(at, at + 80);
  return `  ${what.slice(0, 200)}: from byte ${at / 2} of ${recorded.length / 2}, libtpms ${part(recorded)}, ours ${part(ours)}`;
}

tpm.stop();
rmSync(folder, { recursive: true, force: true });
// swtpm's thread may have something to say yet, and nobody is left to hear it.
process.exit(different > 0 ? 1 : 0);
