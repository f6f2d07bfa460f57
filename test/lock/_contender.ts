/**
 * A process that reads, validates and changes one blob in an image under bdrv_lock, repeatedly:
 * `PATH FLAVOUR ROUNDS ID`. The flavour `none` grants every lock, as if bdrv_lock did nothing. It
 * starts with the first line of its input, and its exit code is LEFT or TORN.
 */
import { once } from 'node:events';
import { bdrv_lock, bdrv_unlock, openImage } from '../../src/block/index.js';
import { type LockDriver, type LockFlavour, lockDriverFor } from '../../src/lock/index.js';
import { LEFT, readBlob, TORN, writeBlob, written } from './_blob.js';

const [path, flavour, rounds, id] = process.argv.slice(2);
const noLocks: LockDriver = {
  flavour: 'ofd',
  tryLock: () => true,
  unlock: () => {},
  holder: () => undefined,
  holders: () => [],
};
const node = openImage(path!, {
  lockDriver: fd => (flavour === 'none' ? noLocks : lockDriverFor(fd, flavour as LockFlavour)),
});
const sleeper = new Int32Array(new SharedArrayBuffer(4));
console.log('ready');
await once(process.stdin, 'data');
for (let round = 0; round < Number(rounds); round += 1) {
  // All of them at once: the last one may wait for the rounds of all others.
  const disk = bdrv_lock(node, { timeoutMs: 120_000 });
  const blob = readBlob(disk);
  if (blob === undefined) process.exit(TORN);
  writeBlob(disk, written(blob, Number(id)));
  bdrv_unlock(disk);
  // A guest pauses between its commands; without that, one process would keep the lock to itself.
  Atomics.wait(sleeper, 0, 0, 3 * Math.random());
}
node.close();
process.exit(LEFT);
