/**
 * Random guests before swtpm and before the engine.
 *
 *     node dist/scripts/diff-tpm12.js [guests [steps [first seed]]]
 *
 * Each guest does everything that the families have, in an order drawn from its seed: some 40,000
 * commands of the default 30 guests. Two of three have a TPM that never had an owner. Ends with exit code
 * 1 where the two differ, and shows how; and where the default run met a command too rarely. Needs swtpm.
 */
import { parameters } from '../lab/arguments.js';
import { compareGuests } from '../lab/guests/differential.js';
import { ALL_STEPS } from '../lab/guests/families.js';

const options = parameters('diff-tpm12', { guests: 30, steps: ALL_STEPS, first: 1 });
const met = compareGuests(options, line => console.error(line));
console.log(met.tables.join('\n'));
console.log(JSON.stringify(met.totals));
const isDefault = process.argv.length === 2;
const failed = met.differences > 0 || (isDefault && met.tooRare.length > 0);
// swtpm's worker thread may still have messages.
process.exit(failed ? 1 : 0);
