/** A process that locks a file on command (`shared`, `exclusive`, `unlock`): `PATH [FLAVOUR]`. */
import { openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type LockFlavour, lockDriverFor, WHOLE_FILE } from '../../src/lock/index.js';

const fd = openSync(process.argv[2]!, 'r+');
const driver = lockDriverFor(fd, process.argv[3] as LockFlavour | undefined);
for await (const order of createInterface(process.stdin)) {
  if (order === 'unlock') driver.unlock(fd, WHOLE_FILE);
  const granted =
    order === 'unlock' || driver.tryLock(fd, order as 'shared' | 'exclusive', WHOLE_FILE);
  console.log(granted ? 'granted' : 'denied');
}
