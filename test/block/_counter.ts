/** A process that adds one to a number in an image, under the lock, as often as it is told. */
import { bdrv_lock, bdrv_unlock, openImage } from '../../src/block/index.js';

const [path, rounds] = process.argv.slice(2);
const node = openImage(path!);
for (let i = 0; i < Number(rounds); i += 1) {
  bdrv_lock(node);
  const bytes = node.read(0, 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, view.getUint32(0) + 1);
  node.write(0, bytes);
  bdrv_unlock(node);
}
node.close();
