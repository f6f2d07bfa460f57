/**
 * Thousands of lives of qcow2 images in which writes, flushes and truncations fail and the node
 * continues, alone or with a second process.
 *
 *     node dist/scripts/failing-writes-qcow2.js [lives [first seed [QEMU samples]]]
 *
 * In the end our own check must find leaks at most, no image may be marked corrupt, and each byte must
 * be one that was written there; a sample goes to the real qemu-img check, which must say 0 or 3.
 */
import { parameters } from '../lab/arguments.js';
import { failOften } from '../lab/block/failing-campaign.js';

const options = parameters('failing-writes-qcow2', { lives: 5000, first: 1, samples: 300 });
const report = failOften(options, line => console.log(line));
console.log(JSON.stringify(report));
process.exitCode = report.faults === 0 ? 0 : 1;
