/**
 * The long run of a guest that wants to do harm: random accesses of every kind to a device whose
 * TPM answers when it likes, or nonsense, or at once.
 *
 *     node --expose-gc dist/scripts/attack-tis.js [accesses [seed]]
 *
 * Default: 10,000,000 accesses. Ends with exit code 1 where something was thrown, an access took
 * over a millisecond of its own, or memory has grown by over a megabyte.
 */

import { random } from '../lab/tis/random.js';
import { Tis, type TisBackend } from '../src/tis/index.js';

const [accesses = 10_000_000, seed = 1] = process.argv.slice(2).map(Number);

/** Answers at once, later, or nonsense, as the dice say. */
class Whim implements TisBackend {
  readonly #pick: (below: number) => number;
  commands = 0;
  #later: (() => void) | undefined;

  constructor(pick: (below: number) => number) {
    this.#pick = pick;
  }

  execute(command: Uint8Array, _locality: number, done: (response: Uint8Array) => void): void {
    this.commands += 1;
    const size = this.#pick(4) === 0 ? this.#pick(5000) : 10 + this.#pick(200);
    const response = new Uint8Array(size);
    if (this.#pick(8) > 0) response.set([0, 0xc4, 0, 0, size >>> 8, size & 0xff].slice(0, size));
    this.#later = () => done(this.#pick(8) > 0 ? response : command);
    if (this.#pick(2) === 0) this.answer();
  }
  answer(): void {
    this.#later?.();
  }
  cancel(): void {
    if (this.#pick(2) === 0) this.answer();
  }
  established = (): boolean => this.#pick(2) === 0;
  hashStart(): void {}
  hashData(): void {}
  hashEnd(): void {}
}

// biome-ignore format: table
const REGISTERS = [0x00, 0x00, 0x08, 0x10, 0x18, 0x18, 0x18, 0x20, 0x24, 0x24, 0x24, 0x28, 0x30, 0x80, 0xbc, 0xf00];
// biome-ignore format: table
const VALUES = [0x02, 0x08, 0x10, 0x20, 0x20, 0x20, 0x40, 0x40, 0x00, 0x00, 0x00, 0xc1, 0x0c, 0xff, 0x100_0040, 0x8000_0087];
const SIZES = [1, 1, 1, 2, 4, 4, 4, 3];

/** What an honest driver writes, up to tpmGo: dice alone hardly ever get a command together. */
const COMMAND = [0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x53, 0, 0];
const HONEST = [[0x00, 0x02], [0x18, 0x40], ...COMMAND.map(byte => [0x24, byte]), [0x18, 0x20]];

class Attack {
  readonly #pick = random(seed);
  readonly tpm = new Whim(this.#pick);
  readonly #tis = new Tis({ backend: this.tpm, personality: '2.0' });
  #honest = HONEST.length;

  step(): void {
    const pick = this.#pick;
    if (this.#honest < HONEST.length && pick(16) > 0) {
      const [register, value] = HONEST[this.#honest]!;
      this.#tis.write(register!, 1, value!);
      this.#honest += 1;
      return;
    }
    if (pick(64) === 0) this.#honest = 0;
    this.#anything();
    if (pick(16) === 0) this.tpm.answer();
    // A launch that nobody ends, or a locality that keeps the TPM, would make the rest dull.
    if (pick(512) === 0) this.#tis.reset();
  }

  #anything(): void {
    const pick = this.#pick;
    const locality = pick(4) > 0 ? 0 : pick(6);
    const register = pick(8) > 0 ? REGISTERS[pick(16)]! + pick(pick(4) + 1) : pick(0x1008) - 4;
    const size = SIZES[pick(8)]!;
    const value = pick(2) > 0 ? VALUES[pick(16)]! : pick(2 ** 32);
    if (pick(2) === 0) this.#tis.read(locality * 0x1000 + register, size);
    else this.#tis.write(locality * 0x1000 + register, size, value);
  }
}

/** Bytes in use, once the garbage is gone where the collector can be asked. */
function memory(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
}

/** Runs all accesses and gives those that took over a millisecond. */
function run(attack: Attack): Set<number> {
  const slow = new Set<number>();
  for (let i = 0; i < accesses; i += 1) {
    const from = performance.now();
    attack.step();
    if (performance.now() - from > 1) slow.add(i);
  }
  return slow;
}

const attack = new Attack();
for (let i = 0; i < 100_000; i += 1) attack.step();
const before = memory();
const start = performance.now();
run(attack);
const seconds = (performance.now() - start) / 1000;
const grownBytes = memory() - before;
// The collector and the scheduler strike anywhere; an access that is slow by itself is slow twice.
const once = run(new Attack());
const slowTwice = [...run(new Attack())].filter(i => once.has(i)).length;
const { commands } = attack.tpm;
console.log(JSON.stringify({ accesses, commands, seconds, grownBytes, slowTwice }));
process.exitCode = slowTwice > 0 || (globalThis.gc !== undefined && grownBytes > 1_000_000) ? 1 : 0;
