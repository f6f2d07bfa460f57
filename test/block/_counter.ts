/** A process that adds one to a number in an image, under the lock, a given number of times. */
import { bdrv_lock, bdrv_unlock, openImage } from '../../src/block/index.js';

const [path, rounds] = process.argv.slice(2);
const node = openImage(path!);
for (let i = 0; i < Number(rounds); i += 1) {
  const disk = bdrv_lock(node);
  const bytes = disk.read(0, 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, view.getUint32(0) + 1);
  disk.write(0, bytes);
  bdrv_unlock(disk);
}
node.close();
