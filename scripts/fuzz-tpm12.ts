/**
 * Attackers before the engine alone, in great number. One half sends mutated requests, blindly; the
 * other half are guests that know every secret, and put what is wrong under HMACs that are right.
 * Nothing is thrown, every response is well-formed and in time, memory does not grow, and the
 * permanent state is another only after a command that succeeded.
 *
 *     node --expose-gc dist/scripts/fuzz-tpm12.js [commands [seed]]
 *
 * Default: 200,000 commands. Ends with exit code 1 at the first that is otherwise, and shows it.
 */
import fc from 'fast-check';
import { Unsound, Victim } from '../lab/guests/attack.js';
import { guestOf } from '../lab/guests/families.js';
import { mutated, STATES } from '../lab/guests/mutations.js';
import { owned } from '../lab/reference/states.js';
import { COMMANDS } from '../src/tpm/tpm12/commands/index.js';

const [commands = 200_000, seed = 1] = process.argv.slice(2).map(Number);
/** Commands that one TPM gets before the next one, of another state, takes its place. */
const COMMANDS_PER_TPM = { blind: 500, knowing: 2000 } as const;
/** What memory may grow by after the first tenth: caches that fill are no leak. */
const GROWTH_BYTES_MAX = 16 * 2 ** 20;
const PROGRESS = 50_000;
const LOCALITIES = 5;

let sent = 0;
const succeeded = new Map<number, number>();
let slowestMs = 0;

function blind(life: number): void {
  const victim = new Victim(STATES[life % STATES.length]).start();
  const requests = fc.sample(mutated, { numRuns: COMMANDS_PER_TPM.blind, seed: seed + life });
  under(victim, () =>
    requests.forEach((request, at) => {
      victim.locality = at % LOCALITIES;
      victim.transmit(request);
    }),
  );
}

function knowing(life: number): void {
  // The guest knows the secrets of one recorded state; of a new TPM it becomes the owner.
  const victim = new Victim(life % 3 === 0 ? undefined : owned());
  under(victim, () => {
    const guest = guestOf(victim, seed + life, { spoilsOneIn: 1 + (life % 2) });
    while (victim.sent < COMMANDS_PER_TPM.knowing) guest.step();
  });
}

/** Lets an attacker have its way with a TPM, and counts. */
function under(victim: Victim, attack: () => void): void {
  try {
    attack();
  } finally {
    sent += victim.sent;
    for (const [ordinal, times] of victim.succeeded) {
      succeeded.set(ordinal, (succeeded.get(ordinal) ?? 0) + times);
    }
    slowestMs = Math.max(slowestMs, victim.slowestMs);
  }
}

const answered = (): number => [...succeeded.values()].reduce((sum, times) => sum + times, 0);

function memory(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

let warm: number | undefined;
let told = 0;
for (let life = 0; sent < commands; life += 1) {
  try {
    if (life % 5 === 0) knowing(life);
    else blind(life);
  } catch (error) {
    console.error(
      `life ${life} of seed ${seed}:`,
      error instanceof Unsound ? error.message : error,
    );
    process.exit(1);
  }
  if (sent >= commands / 10) warm ??= memory();
  if (sent - told < PROGRESS) continue;
  told = sent;
  console.log(`${sent} commands, ${answered()} answered, ${Math.round(memory() / 2 ** 20)} MiB`);
}
for (const { ordinal, name } of COMMANDS.all)
  console.log(`${name}: ${succeeded.get(ordinal) ?? 0} answered`);
const growthBytes = memory() - (warm ?? 0);
const figures = {
  commands: sent,
  succeeded: answered(),
  ordinals: succeeded.size,
  slowestMs: Math.round(slowestMs),
  growthBytes,
};
console.log(JSON.stringify(figures));
process.exit(growthBytes > GROWTH_BYTES_MAX ? 1 : 0);
