/**
 * A disk with a volatile cache, for power-cut tests. The fault model:
 *
 * - Reads see every write at once. Until flush() returns, a write is in the cache only.
 * - When the power goes, each sector (512 bytes) that was written since the last flush holds the old
 *   bytes or any of the versions written since, each sector on its own: writes are torn at sectors
 *   and land in any order. A sector is never torn inside.
 * - The file is as long as the last sector that landed needs, and at least as long as when flushed.
 * - A write that fails has written nothing. After a flush that failed, reads go on showing what was
 *   written, and none of it will ever land: so do page caches.
 * @module
 */
import assert from 'node:assert/strict';
import { type Bytes, LockableNode, type LowerLock } from '../block/lockable.js';
import type { ProtocolNode } from '../block/node.js';

export const SECTOR_BYTES = 512;

/** The power went. Thrown by the write or flush during which it did, and by all that follow. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut';

  constructor() {
    super('the power was cut');
  }
}

/** A lock that is always free: a simulated disk has no second process. */
const FREE: LowerLock = { release: () => {}, abandon: () => {} };

export class SimulatedDisk extends LockableNode<LowerLock> implements ProtocolNode, Bytes {
  readonly driver = 'simulated';
  readonly path: string;
  readonly readOnly = false;
  readonly file = undefined;
  protected readonly bytes: Bytes = this;

  /** What survives a power cut for certain. */
  #platter: Uint8Array;
  /** For each sector written since the last flush, its versions, oldest first. */
  #cached = new Map<number, Uint8Array[]>();
  #length: number;
  #steps = 0;
  #cutAt = Number.POSITIVE_INFINITY;
  #failAt = Number.POSITIVE_INFINITY;
  #failWith: () => Error = () => new PowerCut();
  /** What reads show, and a failed flush has lost. */
  readonly #phantoms = new Map<number, Uint8Array>();

  constructor(content: Uint8Array | number, path = 'simulated disk') {
    super();
    this.#platter = typeof content === 'number' ? new Uint8Array(content) : content.slice();
    this.#length = this.#platter.length;
    this.path = path;
  }

  get length(): number {
    return this.#length;
  }

  /** Writes, flushes and truncations so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Lets `steps` more writes and flushes happen, and cuts the power at the next one. */
  cutPowerAfter(steps: number): void {
    this.#cutAt = this.#steps + steps;
  }

  /** Lets `steps` more writes and flushes happen, and fails the next one, once. */
  failAfter(steps: number, error: () => Error): void {
    this.#failAt = this.#steps + steps;
    this.#failWith = error;
  }

  read(offset: number, length: number): Uint8Array {
    assert(offset >= 0 && length >= 0 && offset + length <= this.#length, 'read within the disk');
    const bytes = new Uint8Array(length);
    bytes.set(this.#platter.subarray(offset, Math.min(offset + length, this.#platter.length)));
    for (let sector = sectorOf(offset); sector * SECTOR_BYTES < offset + length; sector += 1) {
      const newest = this.#cached.get(sector)?.at(-1) ?? this.#phantoms.get(sector);
      if (newest !== undefined) overlay(bytes, newest, sector * SECTOR_BYTES - offset);
    }
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    assert(offset >= 0, 'offsets start at 0');
    this.#step();
    const end = offset + bytes.length;
    this.#length = Math.max(this.#length, end);
    for (let sector = sectorOf(offset); sector * SECTOR_BYTES < end; sector += 1) {
      const start = sector * SECTOR_BYTES;
      const version = this.#sector(sector);
      overlay(version, bytes, offset - start);
      const versions = this.#cached.get(sector);
      if (versions === undefined) this.#cached.set(sector, [version]);
      else versions.push(version);
    }
  }

  flush(): void {
    this.#step(() => {
      for (const [sector, versions] of this.#cached) this.#phantoms.set(sector, versions.at(-1)!);
      this.#cached.clear();
    });
    for (const sector of this.#cached.keys()) this.#phantoms.delete(sector);
    this.#platter = this.#landed(sector => this.#cached.get(sector)!.length, this.#length);
    this.#cached.clear();
  }

  truncate(length: number): void {
    assert(length >= this.#length, 'a simulated disk only grows');
    this.#step();
    this.#length = length;
  }

  peek(offset: number, length: number): Uint8Array {
    return this.read(offset, Math.max(0, Math.min(length, this.#length - offset)));
  }

  lockHolder(): undefined {
    return undefined;
  }

  protected acquire(): LowerLock {
    return FREE;
  }

  protected closeBelow(): void {}

  /** How many different platters a power cut now could leave. */
  get landings(): number {
    let product = 1;
    for (const versions of this.#cached.values()) product *= versions.length + 1;
    return product;
  }

  /**
   * What a power cut now could leave on the platter: every landing, or where there are more than
   * `limit` of them: nothing, everything, and for each sector it alone, it alone missing, and all up
   * to it.
   */
  *wreckages(limit = 100_000): Generator<Uint8Array, void, void> {
    const sectors = [...this.#cached.keys()];
    const versions = sectors.map(sector => this.#cached.get(sector)!.length);
    const choices =
      this.landings <= limit ? everyCombination(versions) : someCombinations(versions);
    for (const choice of choices) {
      const taken = new Map(sectors.map((sector, index) => [sector, choice[index]!]));
      yield this.#landed(sector => taken.get(sector)!, this.#platter.length);
    }
  }

  /** One platter that a power cut now could leave: `choose(n)` picks 0 to n - 1 for each sector. */
  wreckage(choose: (options: number) => number): Uint8Array {
    const taken = new Map<number, number>();
    for (const [sector, versions] of this.#cached) taken.set(sector, choose(versions.length + 1));
    return this.#landed(sector => taken.get(sector)!, this.#platter.length);
  }

  /** The platter once of each cached sector that many of its versions have landed, in turn. */
  #landed(count: (sector: number) => number, lengthMin: number): Uint8Array {
    const taken = [...this.#cached.keys()].filter(sector => count(sector) > 0);
    const reach = taken.reduce((end, sector) => Math.max(end, (sector + 1) * SECTOR_BYTES), 0);
    const platter = new Uint8Array(Math.max(lengthMin, Math.min(reach, this.#length)));
    platter.set(this.#platter);
    for (const sector of taken) {
      overlay(platter, this.#cached.get(sector)![count(sector) - 1]!, sector * SECTOR_BYTES);
    }
    return platter;
  }

  /** A sector as reads see it, as a copy. */
  #sector(sector: number): Uint8Array {
    const cached = this.#cached.get(sector)?.at(-1) ?? this.#phantoms.get(sector);
    if (cached !== undefined) return cached.slice();
    const bytes = new Uint8Array(SECTOR_BYTES);
    const start = sector * SECTOR_BYTES;
    bytes.set(this.#platter.subarray(start, start + SECTOR_BYTES));
    return bytes;
  }

  #step(onFailure: () => void = () => {}): void {
    if (this.#steps >= this.#cutAt) throw new PowerCut();
    this.#steps += 1;
    if (this.#steps - 1 !== this.#failAt) return;
    onFailure();
    throw this.#failWith();
  }
}

const sectorOf = (offset: number): number => Math.floor(offset / SECTOR_BYTES);

/** Lays `bytes` over `target` at `offset`, which may be negative; what sticks out is left away. */
function overlay(target: Uint8Array, bytes: Uint8Array, offset: number): void {
  const from = Math.max(0, -offset);
  const to = Math.min(bytes.length, target.length - offset);
  if (from < to) target.set(bytes.subarray(from, to), offset + from);
}

/** Every way to take 0 to max[i] of each i. */
function* everyCombination(max: readonly number[]): Generator<readonly number[], void, void> {
  const taken = max.map(() => 0);
  for (;;) {
    yield taken;
    const index = taken.findIndex((value, i) => value < max[i]!);
    if (index < 0) return;
    taken.fill(0, 0, index);
    taken[index]! += 1;
  }
}

function* someCombinations(max: readonly number[]): Generator<readonly number[], void, void> {
  yield max.map(() => 0);
  yield max;
  for (let at = 0; at < max.length; at += 1) {
    yield max.map((all, i) => (i === at ? all : 0));
    yield max.map((all, i) => (i === at ? 0 : all));
    yield max.map((all, i) => (i <= at ? all : 0));
  }
}
