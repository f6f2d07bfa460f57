/**
 * Random register scripts before QEMU's tpm-tis and before ours.
 *
 *     node dist/scripts/diff-tis.js [scripts [accesses [first seed]]]
 *
 * Ends with exit code 1 where the two differ in anything that docs/tis.md does not list, and shows how.
 */
import { parameters } from '../lab/arguments.js';
import { compareRegisters } from '../lab/tis/campaign.js';

const options = parameters('diff-tis', { scripts: 5000, accesses: 200, first: 1 });
const total = await compareRegisters(options, line => console.error(line));
console.log(JSON.stringify(total));
process.exitCode = total.differences > 0 ? 1 : 0;
