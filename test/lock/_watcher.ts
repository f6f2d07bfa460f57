/**
 * A process that asks again and again (F_OFD_GETLK) whether somebody holds bytes 101 and 201 of a
 * file. It says `watching` once they are held. To each line of its input it answers, after some more
 * questions, how often it has asked by now and how often a byte was free.
 */
import { openSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { loadFcntl } from '../../src/lock/fcntl.js';

const F_OFD_GETLK = 36;
const fd = openSync(process.argv[2]!, 'r');
const fcntl = loadFcntl();
const questions = [101, 201].map(start => fcntl.encode('exclusive', { start, length: 1 }));

function someAreFree(): boolean {
  return questions.some(question => {
    const answer = question.slice();
    if (fcntl.call(fd, F_OFD_GETLK, answer) !== 0) throw new Error('F_OFD_GETLK failed');
    return fcntl.decode(answer).type === 'none';
  });
}

let orders = 0;
process.stdin.on('data', () => {
  orders += 1;
});
while (someAreFree()) await turn();
console.log('watching');
let asked = 0;
let free = 0;
for (let answered = 0; ; await turn()) {
  const due = orders;
  for (let i = 0; i < 100; i += 1) {
    asked += 1;
    if (someAreFree()) free += 1;
  }
  for (; answered < due; answered += 1) console.log(`${asked} ${free}`);
}
