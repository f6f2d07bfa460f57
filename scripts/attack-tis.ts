/**
 * A guest that attacks the registers: random accesses of every kind to a device whose TPM answers at
 * once, later, or with nonsense.
 *
 *     node --expose-gc dist/scripts/attack-tis.js [accesses [seed]]
 *
 * Ends with exit code 1 where something was thrown, an access took over a millisecond of its own, or
 * memory has grown by over a megabyte.
 */
import { parameters } from '../lab/arguments.js';
import { attackRegisters } from '../lab/tis/attack.js';

const report = attackRegisters(parameters('attack-tis', { accesses: 10_000_000, seed: 1 }));
console.log(JSON.stringify(report));
process.exitCode = report.failed ? 1 : 0;
