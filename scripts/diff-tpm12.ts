/**
 * The long run of the comparison with swtpm: guests at random before both TPMs.
 *
 *     node dist/scripts/diff-tpm12.js [guests [steps [first-seed]]]
 *
 * Default: 30 guests, each of which does everything that the families have, in an order drawn from
 * its seed: some 40,000 commands. Of three guests two have a TPM that nobody owned before. Ends with
 * exit code 1 where the two differ, and shows how; and where the default run did not meet an ordinal
 * often enough. Needs swtpm (scripts/peers.sh).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ALL_STEPS, guestOf } from '../lab/guests/families.js';
import { Swtpm, writePermall } from '../lab/peers/swtpm.js';
import { DEPARTURES } from '../lab/reference/departures.js';
import { type Met, Mirror } from '../lab/reference/mirror.js';
import { owned } from '../lab/reference/states.js';
import { ordinalName, resultName } from '../src/guest/index.js';
import { COMMANDS } from '../src/tpm/tpm12/commands/index.js';

/** How often each ordinal must be met, with requests as they should be and with others. */
const MET_MIN = 50;
/** One guest in so many starts with a TPM that has an owner; that of the others was never used. */
const OWNED_EVERY = 3;

const args = process.argv.slice(2).map(Number);
const [guests = 30, steps = ALL_STEPS, first = 1] = args;
const met = new Map<number, Met>();
const departures = new Map<string, number>();
let differences = 0;

for (let seed = first; seed < first + guests && differences === 0; seed += 1) {
  const mirror = live(seed);
  differences += mirror.differences.length;
  const sent = [...mirror.met.values()].reduce(
    (all, one) => all + one.wellFormed + one.malformed,
    0,
  );
  console.error(`seed ${seed}: ${sent} commands, ${mirror.met.size} ordinals`);
  for (const difference of mirror.differences.slice(0, 1)) {
    console.error(`seed ${seed}:`, JSON.stringify(difference, null, 2));
  }
  for (const [ordinal, counts] of mirror.met) met.set(ordinal, sum(met.get(ordinal), counts));
  for (const [name, count] of mirror.departures) {
    departures.set(name, (departures.get(name) ?? 0) + count);
  }
}

/** One guest's life, until the two TPMs differ: all that would follow says nothing. */
function live(seed: number): Mirror {
  const folder = mkdtempSync(join(tmpdir(), 'nvtpm-diff-'));
  if (seed % OWNED_EVERY === 0) writePermall(folder, owned());
  const tpm = new Swtpm(folder);
  try {
    const mirror = new Mirror(tpm);
    const guest = guestOf(mirror, seed);
    for (let step = 0; step < steps && mirror.differences.length === 0; step += 1) guest.step();
    if (mirror.differences.length === 0) mirror.compareStates();
    return mirror;
  } finally {
    tpm.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function sum(one: Met | undefined, other: Met): Met {
  if (one === undefined) return other;
  return {
    wellFormed: one.wellFormed + other.wellFormed,
    malformed: one.malformed + other.malformed,
    succeeded: one.succeeded + other.succeeded,
    results: new Set([...one.results, ...other.results]),
  };
}

const NEVER: Met = { wellFormed: 0, malformed: 0, succeeded: 0, results: new Set() };
const due = new Set(COMMANDS.all.map(({ ordinal }) => ordinal));
const rows = [...new Set([...due, ...met.keys()])]
  .sort((a, b) => a - b)
  .map(ordinal => ({ ordinal, ...(met.get(ordinal) ?? NEVER) }));
console.log('| ordinal | well-formed | succeeded | malformed | result codes |');
console.log('| --- | --- | --- | --- | --- |');
for (const { ordinal, wellFormed, succeeded, malformed, results } of rows) {
  const codes = [...results].sort((a, b) => a - b).map(one => resultName(one).replace('TPM_', ''));
  const cells = [ordinalName(ordinal), wellFormed, succeeded, malformed, codes.join(' ')];
  console.log(`| ${cells.join(' | ')} |`);
}
console.log('\n| departure | met | why |\n| --- | --- | --- |');
for (const { on, why, holds } of DEPARTURES) {
  if (holds !== undefined) console.log(`| ${on} | ${departures.get(on) ?? 0} | ${why} |`);
}
const commands = rows.reduce((all, row) => all + row.wellFormed + row.malformed, 0);
const rare = rows.filter(
  ({ ordinal, wellFormed, malformed }) =>
    due.has(ordinal) && Math.min(wellFormed, malformed) < MET_MIN,
);
console.log(
  JSON.stringify({
    commands,
    ordinals: met.size,
    differences,
    departures: [...departures.values()].reduce((all, count) => all + count, 0),
    tooRare: rare.map(({ ordinal }) => ordinalName(ordinal)),
  }),
);
const failed = differences > 0 || (args.length === 0 && rare.length > 0);
// swtpm's thread may have something to say yet, and nobody is left to hear it.
process.exit(failed ? 1 : 0);
