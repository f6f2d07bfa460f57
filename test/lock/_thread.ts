/** A worker thread that tries to lock `path`: posts what came of it, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { openFile } from '../../src/block/index.js';
import { chooseLockDriver, LockError, type LockFlavour } from '../../src/lock/index.js';

const { path, flavour } = workerData as { path: string; flavour: LockFlavour };
const file = openFile(path);
let outcome = 'granted';
try {
  const driver = chooseLockDriver(flavour);
  if (!driver.tryLock(file.locks.fd, 'exclusive', file.locks.range)) outcome = 'denied';
} catch (error) {
  outcome = error instanceof LockError ? error.message : String(error);
}
parentPort?.postMessage(outcome);
if (flavour === 'ofd') file.close();
else await new Promise(resolve => parentPort?.once('message', resolve));
