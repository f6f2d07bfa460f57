/**
 * A disk with a volatile cache, for power-cut tests. The fault model:
 *
 * - Reads see every write at once. Until flush() returns, a write is in the cache only.
 * - At a power cut, each sector (512 bytes) that was written since the last flush holds the old
 *   bytes or any of the versions written since, each sector on its own: writes are torn at sectors
 *   and land in any order. A sector is never torn inside.
 * - The file's length is metadata that lands on its own: after a power cut the file is as long as the
 *   sectors that landed need (at least as long as when flushed), or as long as it was last; what did
 *   not land reads as zeros.
 * - A write that fails has written nothing, unless it is scripted to be short. After a flush that
 *   failed, reads still show what was written, and none of it will ever land: page caches do the same.
 * - Scripted: one write or flush fails; one write lands elsewhere and reports success (misdirected); one
 *   write ends early, grows the file and fails; sectors are unreadable (EIO) until they are written.
 *
 * Everything is deterministic.
 * @module
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { type Bytes, LockableNode, type LowerLock } from '../block/lockable.js';
import type { ProtocolNode } from '../block/node.js';
import { IoError } from '../errors.js';

export const SECTOR_BYTES = 512;

/** The power was cut. Thrown by the write or flush at which it was, and by all that follow. */
export class PowerCut extends Error {
  override readonly name = 'PowerCut';

  constructor() {
    super('the power was cut');
  }
}

/** A lock that is always free: a simulated disk has no second process. */
const FREE: LowerLock = { release: () => {}, abandon: () => {} };

/** What happens to one write, flush or truncation. */
type Accident =
  | { readonly kind: 'fail'; readonly error: () => Error }
  | { readonly kind: 'misdirect'; readonly offset: number }
  | { readonly kind: 'short'; readonly bytes: number; readonly errno: string };

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
  readonly #accidents = new Map<number, Accident>();
  /** What reads show, and a failed flush has lost. */
  readonly #phantoms = new Map<number, Uint8Array>();
  /** Sectors that cannot be read. */
  readonly #unreadable = new Set<number>();

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
    this.#accidents.set(this.#steps + steps, { kind: 'fail', error });
  }

  /** Lets `steps` more writes and flushes happen; the next write lands at `offset`, unnoticed. */
  misdirectAfter(steps: number, offset: number): void {
    this.#accidents.set(this.#steps + steps, { kind: 'misdirect', offset });
  }

  /**
   * Lets `steps` more writes and flushes happen; of the next write only `bytes` bytes are written, and
   * it fails. The file has grown by them, as files do at ENOSPC and EFBIG.
   */
  shortWriteAfter(steps: number, bytes: number, errno = 'ENOSPC'): void {
    this.#accidents.set(this.#steps + steps, { kind: 'short', bytes, errno });
  }

  /** Cancels what is scripted for later writes and flushes, a power cut excepted. */
  clearAccidents(): void {
    this.#accidents.clear();
  }

  /** Makes the sectors of `length` bytes at `offset` unreadable (EIO), each until it is written. */
  failReads(offset: number, length: number): void {
    for (const sector of sectorsOf(offset, length)) this.#unreadable.add(sector);
  }

  /** Bytes as the running system sees them, flushed or not. */
  read(offset: number, length: number): Uint8Array {
    assert(offset >= 0 && length >= 0 && offset + length <= this.#length, 'read within the disk');
    const bytes = new Uint8Array(length);
    bytes.set(this.#platter.subarray(offset, Math.min(offset + length, this.#platter.length)));
    for (const sector of sectorsOf(offset, length)) {
      if (this.#unreadable.has(sector)) throw this.#error('read', 'EIO');
      const newest = this.#cached.get(sector)?.at(-1) ?? this.#phantoms.get(sector);
      if (newest !== undefined) overlay(bytes, newest, sector * SECTOR_BYTES - offset);
    }
    return bytes;
  }

  /** Writes to the cache. Not durable before flush(). */
  write(offset: number, bytes: Uint8Array): void {
    assert(offset >= 0, 'offsets start at 0');
    const accident = this.#step();
    const length = accident?.kind === 'short' ? accident.bytes : bytes.length;
    this.#cache(
      accident?.kind === 'misdirect' ? accident.offset : offset,
      bytes.subarray(0, length),
    );
    if (accident?.kind === 'short') throw this.#error('write', accident.errno);
  }

  /** Makes every write so far durable. */
  flush(): void {
    this.#step(() => {
      for (const [sector, versions] of this.#cached) this.#phantoms.set(sector, versions.at(-1)!);
      this.#cached.clear();
    });
    for (const sector of this.#cached.keys()) this.#phantoms.delete(sector);
    const all = [...this.#cached].map(([sector, versions]) => ({
      sector,
      version: versions.at(-1),
    }));
    this.#platter = this.#landed(all, this.#length);
    this.#cached.clear();
  }

  /** Sets the length; new bytes read as zeros. */
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

  /** How many different platters a power cut now could leave, apart from their lengths. */
  get landings(): number {
    return landingsOf(this.#changes());
  }

  /**
   * What a power cut now could leave on the platter: every landing, or where there are more than
   * `limit` of them: nothing, everything, and for each sector it alone, it alone missing, and all up
   * to it. Each with every length that the file could have, and each once.
   * @param seen what was yielded before, of this action at an earlier step; the new ones are added
   */
  *wreckages(limit = 100_000, seen = new Set<string>()): Generator<Uint8Array, void, void> {
    const changes = this.#changes();
    const max = changes.map(({ versions }) => versions.length);
    const base = digestOf(this.#platter);
    const names = changes.map(({ sector, versions }) => [
      '',
      ...versions.map(version => `${sector}=${digestOf(version)}`),
    ]);
    const choices = landingsOf(changes) <= limit ? everyCombination(max) : someCombinations(max);
    for (const choice of choices) {
      const landed = changes.map(({ sector, versions }, i) => ({
        sector,
        version: versions[choice[i]! - 1],
      }));
      const name = `${base} ${names.map((of, i) => of[choice[i]!]).join(' ')}`;
      for (const length of new Set([this.#reachOf(landed), this.#length])) {
        const { size } = seen;
        if (seen.add(digestOf(`${length} ${name}`)).size > size) yield this.#landed(landed, length);
      }
    }
  }

  /** One platter that a power cut now could leave: `choose(n)` picks 0 to n - 1 for each sector. */
  wreckage(choose: (options: number) => number): Uint8Array {
    const landed = [...this.#cached].map(([sector, versions]) => ({
      sector,
      version: versions[choose(versions.length + 1) - 1],
    }));
    const reach = this.#reachOf(landed);
    const isLong = reach < this.#length && choose(2) > 0;
    return this.#landed(landed, isLong ? this.#length : reach);
  }

  /** The cached sectors, without versions that leave the platter as the one before does. */
  #changes(): Change[] {
    return [...this.#cached].map(([sector, cached]) => {
      const start = sector * SECTOR_BYTES;
      // Past the end of the platter, each version makes the file longer.
      let before = this.#platter.subarray(start, start + SECTOR_BYTES);
      const versions = cached.filter(version => {
        const isNew = Buffer.compare(version, before) !== 0;
        before = version;
        return isNew;
      });
      return { sector, versions };
    });
  }

  /** How long the file is once these versions have landed, if its new length has not. */
  #reachOf(landed: Landing): number {
    return landed.reduce((length, { sector, version }) => {
      const end = Math.min((sector + 1) * SECTOR_BYTES, this.#length);
      return version === undefined ? length : Math.max(length, end);
    }, this.#platter.length);
  }

  /** The platter, `length` bytes long, once these versions have landed. */
  #landed(landed: Landing, length: number): Uint8Array {
    const platter = new Uint8Array(length);
    platter.set(this.#platter);
    for (const { sector, version } of landed) {
      if (version !== undefined) overlay(platter, version, sector * SECTOR_BYTES);
    }
    return platter;
  }

  #cache(offset: number, bytes: Uint8Array): void {
    this.#length = Math.max(this.#length, offset + bytes.length);
    for (const sector of sectorsOf(offset, bytes.length)) {
      const version = this.#sector(sector);
      overlay(version, bytes, offset - sector * SECTOR_BYTES);
      this.#unreadable.delete(sector);
      const versions = this.#cached.get(sector);
      if (versions === undefined) this.#cached.set(sector, [version]);
      else versions.push(version);
    }
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

  /** Counts a step, and returns the accident that it has, unless that is a failure. */
  #step(onFailure: () => void = () => {}): Accident | undefined {
    if (this.#steps >= this.#cutAt) throw new PowerCut();
    const accident = this.#accidents.get(this.#steps);
    this.#steps += 1;
    if (accident?.kind !== 'fail') return accident;
    onFailure();
    throw accident.error();
  }

  #error(operation: string, errno: string): IoError {
    const cause = Object.assign(new Error(`${errno}: simulated`), { code: errno });
    return new IoError(operation, this.path, cause);
  }
}

/** What was written to one sector since the last flush, oldest first. */
interface Change {
  readonly sector: number;
  readonly versions: readonly Uint8Array[];
}

/** The version of each cached sector that has landed; undefined where none has. */
type Landing = readonly { readonly sector: number; readonly version: Uint8Array | undefined }[];

const landingsOf = (changes: readonly Change[]): number =>
  changes.reduce((product, { versions }) => product * (versions.length + 1), 1);

const digestOf = (data: Uint8Array | string): string => hash('sha1', data, 'base64');

function* sectorsOf(offset: number, length: number): Generator<number, void, void> {
  for (let at = Math.floor(offset / SECTOR_BYTES); at * SECTOR_BYTES < offset + length; at += 1) {
    yield at;
  }
}

/** Lays `bytes` over `target` at `offset`, which may be negative; what exceeds it is omitted. */
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
