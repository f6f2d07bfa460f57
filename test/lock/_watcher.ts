/**
 * A process that polls (F_OFD_GETLK) whether another one holds bytes 101 and 201 of a file. It prints
 * `watching` once they are held. To each line of its input it answers, after some more queries, how
 * many it has made so far and how often a byte was free.
 */
import { openSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { loadFcntl } from '../../src/native/fcntl.js';

const F_OFD_GETLK = 36;
const fd = openSync(process.argv[2]!, 'r');
const fcntl = loadFcntl();
const flock = fcntl.flock();

function someAreFree(): boolean {
  return [101, 201].some(byte => {
    if (fcntl.call(fd, F_OFD_GETLK, flock.write('F_WRLCK', byte, 1)) !== 0) {
      throw new Error('F_OFD_GETLK failed');
    }
    return flock.read().type === 'F_UNLCK';
  });
}

let orders = 0;
process.stdin.on('data', () => {
  orders += 1;
});
while (someAreFree()) await turn();
console.log('watching');
let queries = 0;
let free = 0;
for (let answered = 0; ; await turn()) {
  const due = orders;
  for (let i = 0; i < 100; i += 1) {
    queries += 1;
    if (someAreFree()) free += 1;
  }
  for (; answered < due; answered += 1) console.log(`${queries} ${free}`);
}
