/**
 * Thousands of damaged images.
 *
 *     node dist/scripts/fuzz-qcow2.js [images [first seed [QEMU samples]]]
 *
 * Every damaged image is opened, read, checked, written to, grown and repaired: only errors of this
 * package, nothing over a second, no more than 64 MiB of memory above the start. A sample is
 * compared with the verdict of the real qemu-img check.
 */
import { parameters } from '../lab/arguments.js';
import { damageOften } from '../lab/block/fuzz-campaign.js';

const options = parameters('fuzz-qcow2', { images: 20_000, first: 1, samples: 500 });
const report = damageOften(options, line => console.log(line));
console.log(JSON.stringify(report));
process.exitCode = report.failed ? 1 : 0;
