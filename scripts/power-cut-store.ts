/**
 * Every power cut of every kind of commit, with every landing of the unflushed sectors where there are
 * at most `limit` of them; then every flipped bit of a store that was closed in order, plain and
 * encrypted. Fails if anything was lost.
 *
 *     node dist/scripts/power-cut-store.js [limit]
 */
import { parameters } from '../lab/arguments.js';
import { everyCommitCut, everyStoreFlip } from '../lab/store/power-cuts.js';

const { limit } = parameters('power-cut-store', { limit: 100_000 });
let faults = 0;
for (const cuts of everyCommitCut(limit)) {
  console.log(JSON.stringify(cuts));
  faults += cuts.lost + cuts.refused;
}
for (const flips of everyStoreFlip()) {
  console.log(JSON.stringify(flips));
  faults += flips.accepted;
}
console.log(JSON.stringify({ faults }));
process.exitCode = faults === 0 ? 0 : 1;
