/** A process that waits 50 ms for the lock of an image, in our way or in the seed's: `PATH WAY`. */
import { openFile } from '../../src/block/index.js';
import { LockError } from '../../src/lock/index.js';
import { OurLocks, SeedLocks } from './_seed.js';

const [path, way] = process.argv.slice(2);
const file = openFile(path!);
const locks = way === 'seed' ? new SeedLocks(file.locks.fd) : new OurLocks(file);
console.log('waiting');
try {
  locks.acquire('exclusive', { timeoutMs: 50 });
  console.log('granted');
} catch (error) {
  console.log(error instanceof LockError ? error.code : String(error));
}
