/**
 * State between images and the real swtpm, through `nvtpm import` and `nvtpm export`: {directory, linear} ×
 * {every kind of key} × {1.2, 2.0}. In each cell swtpm_setup makes the state where it has such a key, it is
 * imported, exported with that key, started by swtpm, imported again, and the EK compared.
 *
 *     node dist/scripts/travel-swtpm.js
 *
 * Prints one line of JSON, and ends with exit code 1 where anything differs. Needs swtpm and swtpm_setup
 * (scripts/peers.sh).
 */
import { travelSwtpm } from '../lab/peers/swtpm-campaign.js';

const report = await travelSwtpm(line => console.error(line));
console.log(JSON.stringify(report));
// swtpm's worker thread may still have messages.
process.exit(report.different.length > 0 ? 1 : 0);
