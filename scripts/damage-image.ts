/**
 * `node dist/scripts/damage-image.js [cluster size] [used|whole] [stride]`: flips every bit of the qcow2
 * metadata of images with an owned TPM, and truncates them to every multiple of 512 bytes: a plain
 * image, one with an internal snapshot, an overlay, and the file below an overlay. `used` (default):
 * entries in use and the first sector of each table; `whole`: every bit. Prints one line of JSON, and
 * fails if a damage makes a new, an older or another TPM, or a refusal changes the file. Needs
 * qemu-img, and /dev/shm.
 * @module
 */
import { CLUSTER_SIZES, parameters } from '../lab/arguments.js';
import { damageImages, failed } from '../lab/damage/campaign.js';

const { depth, ...options } = parameters('damage-image', {
  clusterSize: CLUSTER_SIZES,
  depth: ['used', 'whole'],
  stride: 1,
});
const whole = depth === 'whole';
const report = damageImages({ ...options, whole }, line => console.error(line));
console.log(JSON.stringify(report));
process.exitCode = failed(report) ? 1 : 0;
