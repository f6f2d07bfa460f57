/**
 * Attackers before the engine alone. Four of five send mutated requests; every fifth is a guest that
 * knows every secret, and puts invalid parameters under valid HMACs.
 * @module
 */
import fc from 'fast-check';
import { COMMANDS } from '../../src/tpm/tpm12/commands/index.js';
import { owned } from '../reference/states.js';
import { Victim } from './attack.js';
import { guestOf } from './families.js';
import { mutated, STATES } from './mutations.js';

/** Commands that one TPM gets before the next one, of another state, takes its place. */
const COMMANDS_PER_TPM = { blind: 500, knowing: 2000 } as const;
const KNOWING_EVERY = 5;
/** What memory may grow by after the first tenth: caches that fill are no leak. */
const GROWTH_BYTES_MAX = 16 * 2 ** 20;
const PROGRESS = 50_000;
const LOCALITIES = 5;

export class Fuzzing {
  readonly #seed: number;
  readonly #succeeded = new Map<number, number>();
  sent = 0;
  #slowestMs = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** One attacker's life. @throws Unsound, or what the engine throws */
  live(life: number): void {
    if (life % KNOWING_EVERY === 0) this.#knowing(life);
    else this.#blind(life);
  }

  get answered(): number {
    return [...this.#succeeded.values()].reduce((sum, times) => sum + times, 0);
  }

  /** A line for each command: how often it succeeded. */
  get lines(): string[] {
    return COMMANDS.all.map(
      ({ ordinal, name }) => `${name}: ${this.#succeeded.get(ordinal) ?? 0} answered`,
    );
  }

  get figures() {
    const slowestMs = Math.round(this.#slowestMs);
    const ordinals = this.#succeeded.size;
    return { commands: this.sent, succeeded: this.answered, ordinals, slowestMs };
  }

  #blind(life: number): void {
    const victim = new Victim(STATES[life % STATES.length]).start();
    const sample = { numRuns: COMMANDS_PER_TPM.blind, seed: this.#seed + life };
    this.#under(victim, () =>
      fc.sample(mutated, sample).forEach((request, at) => {
        victim.locality = at % LOCALITIES;
        victim.transmit(request);
      }),
    );
  }

  #knowing(life: number): void {
    // The guest knows the secrets of one recorded state; of a new TPM it becomes the owner.
    const victim = new Victim(life % 3 === 0 ? undefined : owned());
    this.#under(victim, () => {
      const guest = guestOf(victim, this.#seed + life, { spoilsOneIn: 1 + (life % 2) });
      while (victim.sent < COMMANDS_PER_TPM.knowing) guest.step();
    });
  }

  /** Runs an attack, and counts. */
  #under(victim: Victim, attack: () => void): void {
    try {
      attack();
    } finally {
      this.sent += victim.sent;
      for (const [ordinal, times] of victim.succeeded) {
        this.#succeeded.set(ordinal, (this.#succeeded.get(ordinal) ?? 0) + times);
      }
      this.#slowestMs = Math.max(this.#slowestMs, victim.slowestMs);
    }
  }
}

function memory(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/**
 * Attacks until so many commands are sent.
 * @param tell gets progress, and how often each command succeeded
 * @throws at the first response that is unsound, with the life in its message
 */
export function fuzz(
  { commands, seed }: { commands: number; seed: number },
  tell: (line: string) => void,
) {
  const fuzzing = new Fuzzing(seed);
  let warm: number | undefined;
  let told = 0;
  for (let life = 0; fuzzing.sent < commands; life += 1) {
    try {
      fuzzing.live(life);
    } catch (cause) {
      throw new Error(`life ${life} of seed ${seed}`, { cause });
    }
    if (fuzzing.sent >= commands / 10) warm ??= memory();
    if (fuzzing.sent - told < PROGRESS) continue;
    told = fuzzing.sent;
    const mib = Math.round(memory() / 2 ** 20);
    tell(`${fuzzing.sent} commands, ${fuzzing.answered} answered, ${mib} MiB`);
  }
  for (const line of fuzzing.lines) tell(line);
  const growthBytes = memory() - (warm ?? 0);
  return { ...fuzzing.figures, growthBytes, failed: growthBytes > GROWTH_BYTES_MAX };
}
