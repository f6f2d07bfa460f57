/** A guest that attacks the registers: random accesses of every kind. @module */
import { Tis, type TisBackend } from '../../src/tis/index.js';
import { random } from './random.js';

/** Answers at once, later, or nonsense, at random. */
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

/** What a driver writes, up to tpmGo: at random alone, a whole command hardly ever comes about. */
const COMMAND = [0, 0xc1, 0, 0, 0, 12, 0, 0, 0, 0x53, 0, 0];
const HONEST = [[0x00, 0x02], [0x18, 0x40], ...COMMAND.map(byte => [0x24, byte]), [0x18, 0x20]];

class Attack {
  readonly #pick: (below: number) => number;
  readonly tpm: Whim;
  readonly #tis: Tis;
  #honest = HONEST.length;

  constructor(seed: number) {
    this.#pick = random(seed);
    this.tpm = new Whim(this.#pick);
    this.#tis = new Tis({ backend: this.tpm, personality: '2.0' });
  }

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
    // A launch without an end, or a locality that is never released, would refuse all that follows.
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

/** Runs all accesses. @returns those that took over a millisecond */
function run(attack: Attack, accesses: number): Set<number> {
  const slow = new Set<number>();
  for (let i = 0; i < accesses; i += 1) {
    const from = performance.now();
    attack.step();
    if (performance.now() - from > 1) slow.add(i);
  }
  return slow;
}

/** What a run may grow memory by, in bytes. */
const GROWTH_BYTES_MAX = 1_000_000;
const WARM_UP = 100_000;

/** @param seed of all that is random */
export function attackRegisters({ accesses, seed }: { accesses: number; seed: number }) {
  const attack = new Attack(seed);
  for (let i = 0; i < WARM_UP; i += 1) attack.step();
  const before = memory();
  const start = performance.now();
  run(attack, accesses);
  const seconds = (performance.now() - start) / 1000;
  const grownBytes = memory() - before;
  // The collector and the scheduler strike anywhere; an access that is slow by itself is slow twice.
  const once = run(new Attack(seed), accesses);
  const slowTwice = [...run(new Attack(seed), accesses)].filter(i => once.has(i)).length;
  const isLeaking = globalThis.gc !== undefined && grownBytes > GROWTH_BYTES_MAX;
  const { commands } = attack.tpm;
  return { accesses, commands, seconds, grownBytes, slowTwice, failed: isLeaking || slowTwice > 0 };
}
