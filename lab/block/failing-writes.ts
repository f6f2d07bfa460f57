/**
 * Lives of an image in which writes, flushes and truncations fail and the node goes on, alone or with
 * another process in between: what the file holds in the end, for the check and byte by byte.
 */
import {
  allocateArea,
  type BlockNode,
  checkImage,
  eraseFreeClusters,
  ImageError,
  imageInfo,
  type LockedNode,
  openQcow2,
  openRaw,
  writeStoreTag,
  writeZeroes,
} from '../../src/block/index.js';
import { IoError, NvtpmError } from '../../src/errors.js';
import { type Fault, FaultNode, SimulatedDisk } from '../../src/testing/index.js';
import { usingNode } from './disk.js';
import { MemoryNode } from './memory.js';
import { Model } from './model.js';
import type { Template } from './power-cut.js';
import { type Random, random } from './random.js';

const TAG = { uuid: new Uint8Array(16).fill(0xee), kind: 'test' };

/** One operation on a disk, and what it is to leave there. */
export type Operation = (disk: LockedNode, model: Model) => void;

export const write =
  (at: number, length: number, value: number): Operation =>
  (disk, model) => {
    const bytes = new Uint8Array(length).fill(value);
    model.change(at, bytes, () => disk.write(at, bytes));
  };
export const zero =
  (at: number, length: number): Operation =>
  (disk, model) =>
    model.change(at, new Uint8Array(length), () => writeZeroes(disk, at, length));
export const flush: Operation = (disk, model) => {
  disk.flush();
  model.flushed();
};
export const grow =
  (length: number): Operation =>
  (disk, model) => {
    model.grow(length);
    if (disk.length < length) disk.truncate(length);
  };
/** Writes of 700 bytes all over a disk of so many bytes, in a scattered order. */
export const scattered = (size: number, value: number): Operation[] =>
  Array.from({ length: 23 }, (_, i) => write(Math.floor(((i * 7) % 23) * (size / 23)), 700, value));
export const tag: Operation = disk => void writeStoreTag(disk, TAG);
export const allocate =
  (length: number): Operation =>
  disk =>
    allocateArea(disk, length);
export const erase: Operation = disk => eraseFreeClusters(disk);

/** Something that any user of a disk may do. */
export function anyOperation(next: Random, disk: LockedNode): Operation {
  const size = disk.length;
  const at = next(size);
  const length = Math.min(size - at, 1 + next(next(6) === 0 ? 40_000 : 2000));
  switch (next(12)) {
    case 0:
    case 1:
      return flush;
    case 2:
    case 3:
      return zero(at, length);
    case 4: {
      if (imageInfo(disk).version === 2) return flush;
      return next(3) === 0 ? grow(size + 512 * next(200)) : tag;
    }
    case 5:
      return next(4) === 0 ? allocate(Math.min(size, 30_000)) : flush;
    default:
      return write(at, length, 1 + next(255));
  }
}

/** Whether an error follows from a failure of the file. Any other error of the package is a finding. */
const isFailure = (error: unknown): boolean =>
  error instanceof IoError || (error instanceof ImageError && error.code === 'BROKEN');

/** A file, its model, and the nodes on it. */
export class Life {
  readonly file: SimulatedDisk;
  readonly model: Model;
  /** What went wrong, as sentences. */
  readonly #findings: string[] = [];
  readonly #backing: Uint8Array | undefined;
  readonly #cacheBytes: number;

  constructor({ image, disk, backing }: Template, cacheBytes: number) {
    this.file = new SimulatedDisk(image);
    this.model = new Model(disk);
    this.#backing = backing;
    this.#cacheBytes = cacheBytes;
  }

  /** What lies below an overlay, opened once more. */
  backing(): BlockNode | undefined {
    return this.#backing && openRaw(new MemoryNode(this.#backing, true));
  }

  /** A process that has the image open. Its file fails as the script says. */
  opener(script: readonly Fault[] = []): Opener {
    const file = new FaultNode(this.file, script);
    const options = { backing: this.backing(), cacheBytes: this.#cacheBytes };
    return new Opener(file, openQcow2(file, options), this.model, this.#findings);
  }

  /** The bytes of the file. */
  get bytes(): Uint8Array {
    return this.file.read(0, this.file.length);
  }

  /**
   * What is wrong with the image, as sentences.
   * @param bytes of the file, if the power was cut
   */
  examine(bytes = this.bytes): string[] {
    const faults = [...this.#findings];
    const file = new MemoryNode(bytes);
    try {
      usingNode(openQcow2(file, { backing: this.backing() }), disk => {
        // A dirty image is repaired by the first write.
        disk.write(0, new Uint8Array(0));
        const { corruptions, checkErrors, problems } = checkImage(disk);
        if (corruptions + checkErrors > 0) faults.push(`check: ${problems.slice(0, 2).join('; ')}`);
        const foreign = this.model.foreign(disk.read(0, disk.length));
        if (foreign !== undefined) faults.push(foreign);
      });
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      faults.push(`refused: ${error.message}`);
    }
    return faults;
  }
}

export class Opener {
  readonly file: FaultNode;
  readonly #node: BlockNode;
  readonly #model: Model;
  readonly #findings: string[];
  #disk: LockedNode | undefined;
  failures = 0;

  constructor(file: FaultNode, node: BlockNode, model: Model, findings: string[]) {
    this.file = file;
    this.#node = node;
    this.#model = model;
    this.#findings = findings;
  }

  /** One operation under the lock, which is acquired for it if need be. */
  do(choose: (disk: LockedNode) => Operation): void {
    this.#attempt(() => {
      this.#disk ??= this.#node.lock();
      choose(this.#disk)(this.#disk, this.#model);
    });
  }

  release(): void {
    const disk = this.#disk;
    this.#disk = undefined;
    if (disk === undefined) return;
    if (!this.#attempt(() => disk.release())) this.#model.lost();
  }

  #attempt(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof NvtpmError)) throw error;
      this.failures += 1;
      if (!isFailure(error)) this.#findings.push(error.message);
      return false;
    }
  }
}

/** A life with operations in which something fails, and what comes after them. */
export interface Script {
  readonly template: Template;
  readonly operations: readonly Operation[];
  readonly cacheBytes: number;
  readonly fault: Fault;
  /** Whether another process changes the image after the failure. */
  readonly second: boolean;
}

/** How many writes, flushes and truncations of the file the operations and the release make. */
export function countSteps({
  template,
  operations,
  cacheBytes,
}: Omit<Script, 'fault' | 'second'>): {
  write: number;
  flush: number;
  truncate: number;
} {
  const life = new Life(template, cacheBytes);
  const opener = life.opener();
  for (const operation of operations) opener.do(() => operation);
  opener.do(() => flush);
  opener.release();
  return opener.file.counts;
}

/**
 * Lives a script; more operations follow.
 * @param keep is given the file as it is in the end
 * @returns what is wrong then, as sentences
 */
export function live(
  script: Script,
  next: Random,
  more: number,
  keep: (file: Uint8Array) => void = () => {},
): string[] {
  const life = new Life(script.template, script.cacheBytes);
  const first = life.opener([script.fault]);
  const goOn = (opener: Opener): void => {
    for (let i = 0; i < more; i += 1) opener.do(disk => anyOperation(next, disk));
  };
  for (const operation of script.operations) first.do(() => operation);
  first.do(() => flush);
  if (script.second) {
    first.release();
    const other = life.opener();
    goOn(other);
    other.release();
  }
  goOn(first);
  first.do(() => flush);
  first.release();
  keep(life.bytes);
  return life.examine();
}

export interface RandomLife {
  readonly findings: readonly string[];
  /** How many operations failed. */
  readonly failures: number;
  /** The file as it is in the end. */
  readonly left: Uint8Array;
}

/**
 * A random life: up to three failures, locks that are released in between, in half of the lives a second
 * process, and in a third of them a power cut in the end. The same seed gives the same life.
 */
export function randomLife(template: Template, seed: number): RandomLife {
  const next = random(seed);
  const life = new Life(template, next(2) === 0 ? 1 : 2 ** 20);
  const first = life.opener(Array.from({ length: 1 + next(3) }, () => randomFault(next)));
  const other = next(2) === 0 ? life.opener() : first;
  for (let i = 0; i < 50; i += 1) {
    const turn = next(8);
    if (turn === 0) first.release();
    if (turn === 1) {
      first.release();
      for (let left = next(6); left > 0; left -= 1) other.do(disk => anyOperation(next, disk));
      other.release();
    }
    first.do(disk => anyOperation(next, disk));
  }
  let left: Uint8Array;
  if (next(3) === 0) {
    life.model.lost();
    left = life.file.wreckage(next);
  } else {
    first.do(() => flush);
    first.release();
    left = life.bytes;
  }
  return { findings: life.examine(left.slice()), failures: first.failures, left };
}

function randomFault(next: Random): Fault {
  const errno = next(2) === 0 ? 'EIO' : 'ENOSPC';
  const kind = next(8);
  if (kind === 0) return { on: 'flush', nth: 1 + next(30), effect: { kind: 'error', errno } };
  if (kind === 1) return { on: 'truncate', nth: 1 + next(10), effect: { kind: 'error', errno } };
  const bytes = 512 * (1 + next(4));
  const effect =
    next(2) === 0 ? ({ kind: 'error', errno } as const) : { kind: 'short', bytes, errno };
  return { on: 'write', nth: 1 + next(60), times: 1 + next(3), effect } as Fault;
}
