/**
 * Stores a counter over and over, and prints each number once its store was acknowledged, until it
 * is killed.
 */
import { writeSync } from 'node:fs';
import { openImage } from '../../src/block/index.js';
import { activated } from './stores.js';

using image = openImage(process.argv[2]!, { readOnly: false });
const store = activated(image);
const blob = new Uint8Array(2050);
const view = new DataView(blob.buffer);
const start = store.load('permall');
let count = start === undefined ? 0 : new DataView(start.buffer).getUint32(0);
for (;;) {
  count += 1;
  view.setUint32(0, count);
  // The rest of the blob goes with the number, so that a mixture would be seen.
  blob.fill(count % 256, 4);
  store.store('permall', blob);
  writeSync(1, `${count}\n`);
}
