/**
 * Records fixtures/qemu/bad-input.json: what QEMU decides about damaged images. Needs qemu-img.
 *
 *     node dist/scripts/record-bad-input.js
 */
import { parameters } from '../lab/arguments.js';
import { recordDecisions } from '../lab/block/damages.js';

parameters('record-bad-input', {});
console.log(`${recordDecisions()} damages`);
