/**
 * Attackers before the engine alone, in great number: nothing is thrown, every response is well-formed
 * and in time, memory does not grow, and the permanent state changes only by a command that succeeded.
 *
 *     node --expose-gc dist/scripts/fuzz-tpm12.js [commands [seed]]
 *
 * Ends with exit code 1 at the first response that is unsound, and shows it.
 */
import { parameters } from '../lab/arguments.js';
import { fuzz } from '../lab/guests/fuzz.js';

const options = parameters('fuzz-tpm12', { commands: 200_000, seed: 1 });
const report = fuzz(options, line => console.log(line));
console.log(JSON.stringify(report));
process.exitCode = report.failed ? 1 : 0;
