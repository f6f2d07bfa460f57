/** A worker thread that tries to lock `path`, posts the outcome, and ends. */
import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import {
  closeFile,
  LockError,
  type LockFlavour,
  lockDriverFor,
  WHOLE_FILE,
} from '../../src/lock/index.js';

const { path, flavour } = workerData as { path: string; flavour: LockFlavour };
const fd = openSync(path, 'r+');
let outcome = 'granted';
try {
  const driver = lockDriverFor(fd, flavour);
  if (!driver.tryLock(fd, 'exclusive', WHOLE_FILE)) outcome = 'denied';
} catch (error) {
  outcome = error instanceof LockError ? error.message : String(error);
}
parentPort?.postMessage(outcome);
if (flavour === 'ofd') closeFile(fd);
else await new Promise(resolve => parentPort?.once('message', resolve));
