/**
 * A process that wants a lock that another one holds, waits `async` or `sync` for at most so many
 * milliseconds, and has a timer and a SIGINT handler meanwhile: `PATH WAY TIMEOUT`. It prints what
 * happens in the order in which it happens, and at its end the longest time between two ticks.
 */
import { openSync } from 'node:fs';
import { LockError, lock, lockAsync, lockDriverFor, WHOLE_FILE } from '../../src/lock/index.js';

const [path, way, timeout] = process.argv.slice(2);
const fd = openSync(path!, 'r+');
const driver = lockDriverFor(fd);
const request = { fd, path: path!, type: 'exclusive', range: WHOLE_FILE } as const;
const timeoutMs = Number(timeout);

const abort = new AbortController();
process.on('SIGINT', () => {
  console.log('SIGINT');
  abort.abort();
});
const TICKS = 20;
let ticks = 0;
let longest = 0;
let last = performance.now();
const ticker = setInterval(() => {
  longest = Math.max(longest, performance.now() - last);
  last = performance.now();
  ticks += 1;
  if (ticks === TICKS) console.log('ticked');
}, 5);

console.log('waiting');
try {
  if (way === 'sync') lock(driver, request, { timeoutMs });
  else await lockAsync(driver, request, { timeoutMs, signal: abort.signal });
  console.log('granted');
} catch (error) {
  console.log(error instanceof LockError ? error.code : String(error));
}
while (ticks < TICKS) await new Promise(resolve => setTimeout(resolve, 5));
clearInterval(ticker);
process.removeAllListeners('SIGINT');
console.log(`${Math.round(longest)} ms`);
