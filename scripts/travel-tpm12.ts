/**
 * States that travel between this engine and libtpms: random lives in one of them, then the same
 * questions to both, and the bytes that both write back.
 *
 *     node dist/scripts/travel-tpm12.js [lives [first seed [both|ours|theirs]]]
 *
 * Ends with exit code 1 where anything differs, and shows what. Needs swtpm (scripts/peers.sh).
 */
import { parameters } from '../lab/arguments.js';
import { ORIGINS, travelOften } from '../lab/travel/campaign.js';

const defaults = { lives: 500, first: 1, only: ['both', 'ours', 'theirs'] };
const { only, ...range } = parameters('travel-tpm12', defaults);
const origins = ORIGINS.filter(origin => only === 'both' || only === origin);
const reports = travelOften({ ...range, origins }, line => console.error(line));
for (const report of reports) console.log(JSON.stringify(report));
// swtpm's worker thread may still have messages.
process.exit(reports.some(({ different }) => different > 0) ? 1 : 0);
