/** Stores a small blob, then one that needs more file than the limit of this process allows. */

import { activated, blob } from '../../lab/store/stores.js';
import { openImage } from '../../src/block/index.js';
import { NvramError } from '../../src/nvram/index.js';

const image = openImage(process.argv[2]!, { readOnly: false });
const store = activated(image);
store.store('permall', blob(700, 2));
try {
  store.store('permall', blob(256 * 1024, 3));
  console.log('stored');
} catch (error) {
  const { code, errno } = error as { code?: string; errno?: string };
  console.log(error instanceof NvramError ? code : `${code} ${errno}`);
}
