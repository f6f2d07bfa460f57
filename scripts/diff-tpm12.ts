/**
 * The long run of the comparison with swtpm: guests at random before both TPMs.
 *
 *     node dist/scripts/diff-tpm12.js [guests [steps [first-seed]]]
 *
 * Default: 50 guests of 200 steps, of one to six commands each. Ends with exit code 1 where the two
 * differ, and shows how. Needs swtpm (scripts/peers.sh).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ordinalName } from '../src/testing/guest/index.js';
import { Swtpm, writePermall } from '../test/_swtpm.js';
import { type Met, Mirror } from '../test/tpm/_mirror.js';
import { owned } from '../test/tpm/_states.js';
import { FAMILIES } from '../test/tpm/random/families.js';
import { RandomGuest } from '../test/tpm/random/guest.js';

const [guests = 50, steps = 200, first = 1] = process.argv.slice(2).map(Number);
const met = new Map<number, Met>();
let differences = 0;

for (let seed = first; seed < first + guests && differences === 0; seed += 1) {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-diff-'));
  writePermall(folder, owned());
  const tpm = new Swtpm(folder);
  const mirror = new Mirror(tpm, owned());
  const guest = new RandomGuest(mirror, seed, FAMILIES);
  for (let step = 0; step < steps && mirror.differences.length === 0; step += 1) guest.step();
  // After a difference the two go on from different states: all that follows says nothing.
  if (mirror.differences.length === 0) mirror.compareStates();
  tpm.stop();
  rmSync(folder, { recursive: true, force: true });
  differences += mirror.differences.length;
  for (const difference of mirror.differences.slice(0, 1)) {
    console.error(`seed ${seed}:`, JSON.stringify(difference, null, 2));
  }
  for (const [ordinal, counts] of mirror.met) {
    met.set(ordinal, sum(met.get(ordinal), counts));
  }
}

const rows = [...met].sort(([a], [b]) => a - b);
for (const [ordinal, { wellFormed, succeeded, malformed, results }] of rows) {
  console.log(
    `${ordinalName(ordinal)}: ${wellFormed} well-formed, ${succeeded} succeeded, ` +
      `${malformed} malformed, ${results.size} result codes`,
  );
}
const sent = rows.reduce((all, [, row]) => all + row.wellFormed + row.malformed, 0);
console.log(JSON.stringify({ commands: sent, ordinals: rows.length, differences }));
// swtpm's thread may have something to say yet, and nobody is left to hear it.
process.exit(differences > 0 ? 1 : 0);

function sum(one: Met | undefined, other: Met): Met {
  if (one === undefined) return other;
  return {
    wellFormed: one.wellFormed + other.wellFormed,
    malformed: one.malformed + other.malformed,
    succeeded: one.succeeded + other.succeeded,
    results: new Set([...one.results, ...other.results]),
  };
}
