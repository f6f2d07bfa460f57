/**
 * `node dist/scripts/rekey-residue.js [landings] [cluster size]`: cuts the power at every write and flush
 * of `rekey` from plain to encrypted, with up to `landings` (8) ways for unflushed sectors to land;
 * opens what is left with the key, and searches the whole file for five secrets. Prints one line of
 * JSON, and fails if an encrypted store has one of them in clear.
 * @module
 */
import { CLUSTER_SIZES, parameters } from '../lab/arguments.js';
import { failed, searchResidue } from '../lab/residue/campaign.js';

const { landings, clusterSize } = parameters('rekey-residue', {
  landings: 8,
  clusterSize: CLUSTER_SIZES,
});
const report = searchResidue(clusterSize, landings);
console.log(JSON.stringify(report));
process.exitCode = failed(report) ? 1 : 0;
