/** A process that fills every second slot of an image, each under the lock, out of order. */
import { bdrv_lock, bdrv_unlock, openImage } from '../../src/block/index.js';

const [path, number, rounds] = process.argv.slice(2);
const me = Number(number);
const node = openImage(path!);
for (let i = 0; i < Number(rounds); i += 1) {
  // 7 and 60 have no divisor in common: all slots are met, in a scattered order.
  const slot = ((i * 7) % Number(rounds)) * 2 + me - 1;
  const disk = bdrv_lock(node);
  disk.write(slot * 30_000, new Uint8Array(3000).fill(me));
  if (i % 5 === 0) disk.flush();
  bdrv_unlock(disk);
}
node.close();
