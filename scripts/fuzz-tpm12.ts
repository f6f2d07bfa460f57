/**
 * Mutated requests before the engine alone, in great number: nothing is thrown, every response is
 * well-formed, and the permanent state is another only after a command that succeeded.
 *
 *     node dist/scripts/fuzz-tpm12.js [commands [seed]]
 *
 * Default: 200,000 commands. Ends with exit code 1 at the first that is otherwise, and shows it.
 */
import fc from 'fast-check';
import { toHex } from '../test/_files.js';
import { Attack } from '../test/tpm/_attack.js';
import { mutated } from '../test/tpm/_mutations.js';

const [commands = 200_000, seed = 1] = process.argv.slice(2).map(Number);
const BATCH = 10_000;
const attack = new Attack();
let slowest = 0;
for (let sent = 0; sent < commands; sent += BATCH) {
  const numRuns = Math.min(BATCH, commands - sent);
  for (const request of fc.sample(mutated, { numRuns, seed: seed + sent })) {
    const from = performance.now();
    const wrong = attack.send(request);
    slowest = Math.max(slowest, performance.now() - from);
    if (wrong === undefined) continue;
    console.error(`${toHex(request)}\n${wrong}`);
    process.exit(1);
  }
  const mib = Math.round(process.memoryUsage().rss / 2 ** 20);
  console.log(`${sent + numRuns} commands, ${attack.succeeded} answered, ${mib} MiB`);
}
console.log(
  JSON.stringify({ commands, answered: attack.succeeded, slowestMs: Math.round(slowest) }),
);
