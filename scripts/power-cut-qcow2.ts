/**
 * Thousands of lives of qcow2 images, each with a power cut in it.
 *
 *     node dist/scripts/power-cut-qcow2.js [lives [first seed [QEMU samples]]]
 *
 * After each cut our own check must find leaks at most, everything flushed must read back, and the
 * image must still work; a sample goes to the real qemu-img check, which must say 0 or 3.
 */
import { parameters } from '../lab/arguments.js';
import { cutOften } from '../lab/block/power-cut-campaign.js';

const options = parameters('power-cut-qcow2', { lives: 2000, first: 1, samples: 300 });
const report = cutOften(options, line => console.log(line));
console.log(JSON.stringify(report));
process.exitCode = report.faults === 0 ? 0 : 1;
