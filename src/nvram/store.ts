/**
 * The store of an active instance. Every cycle is: take the lock, read, validate, write, flush, give
 * the lock back. What a commit writes lands in space that the last acknowledged state does not
 * use, and there is one barrier between writing and saying that it is stored:
 *
 *     lock · both slots are as we left them? · blob and directory · fdatasync · mark · unlock
 *
 * Cut the power after any of these and the old state or the new one is there, and once commit() has
 * returned, the new one.
 * @module
 */
import assert from 'node:assert/strict';
import { bdrv_lock, bdrv_unlock } from '../block/lock.js';
import type { BlockNode } from '../block/node.js';
import type { LockWait } from '../lock/lock.js';
import { noTrace, type Trace } from '../trace.js';
import { concat, equal } from '../wire/codec.js';
import { type Assessment, assess, type StoreState } from './assess.js';
import { NvramError } from './errors.js';
import { allocate, type Extent, roundUp, stretches } from './extents.js';
import {
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MIN,
  type Directory,
  ENTRIES_MAX,
  type Entry,
  encodeDirectory,
  encodeMark,
  isBlobName,
  MARK_OFFSET,
  type MarkState,
  PAGE_BYTES,
  readDirectory,
  SLOT_OFFSETS,
  type SlotIndex,
  sha256,
} from './layout.js';

export interface StoreOptions {
  readonly trace?: Trace;
  /** How long to wait for the lock. */
  readonly wait?: LockWait;
}

export interface FormatOptions extends StoreOptions {
  /** Random bytes, for the uuid. */
  readonly entropy: (length: number) => Uint8Array;
  /** Bytes to set aside; a multiple of 4096, at least 256 KiB. Default 1 MiB, or the whole disk if smaller. */
  readonly areaLength?: number;
}

/** Runs `cycle` inside bdrv_lock and bdrv_unlock. */
function locked<T>(node: BlockNode, { wait }: StoreOptions, cycle: () => T): T {
  bdrv_lock(node, wait);
  try {
    return cycle();
  } finally {
    bdrv_unlock(node);
  }
}

/** Looks at a store under the lock and writes nothing. Damage is a verdict, not an exception. */
export function inspectStore(node: BlockNode, options: StoreOptions = {}): Assessment {
  return locked(node, options, () => judge(node, options));
}

function judge(node: BlockNode, { trace = noTrace }: StoreOptions): Assessment {
  const found = assess(node);
  const { generation, epoch } = found.state?.directory ?? {};
  trace({
    event: 'validate',
    outcome: found.verdict,
    ...(generation === undefined || epoch === undefined ? {} : { generation, epoch }),
    ...(found.findings.length > 0 ? { why: found.findings.join('; ') } : {}),
  });
  return found;
}

/** @throws NvramError unless the store can be used (OK, or EMPTY and formatted). */
function mustBeUsable(node: BlockNode, found: Assessment): StoreState {
  if (found.state !== undefined) return found.state;
  assert(found.verdict !== 'OK', 'a store that is in order has a state');
  throw new NvramError(found.verdict, node.path, found.findings);
}

/**
 * Sets up a store on a disk that is proven to be empty. The whole area is written once, so that the
 * image allocates it now and no later commit touches the image's own metadata.
 * @throws NvramError whatever the disk is, if it is not empty
 */
export function formatStore(node: BlockNode, options: FormatOptions): void {
  locked(node, options, () => {
    const found = judge(node, options);
    if (found.verdict !== 'EMPTY' || found.state !== undefined) {
      const code = found.verdict === 'OK' || found.verdict === 'EMPTY' ? 'CORRUPT' : found.verdict;
      throw new NvramError(code, node.path, [...found.findings, 'it is formatted already']);
    }
    const areaLength = options.areaLength ?? defaultArea(node);
    if (areaLength < AREA_BYTES_MIN || areaLength > node.length || areaLength % PAGE_BYTES !== 0) {
      const why = `a store of ${areaLength} bytes does not fit the disk of ${node.length}`;
      throw new NvramError('TOO_SMALL', node.path, [why]);
    }
    const uuid = options.entropy(16);
    const step = new Uint8Array(SLOT_OFFSETS[1]);
    for (let at = 0; at < areaLength; at += step.length) {
      node.write(at, step.subarray(0, Math.min(step.length, areaLength - at)));
    }
    node.flush();
    // A directory without blobs keeps to one sector, so it lands whole or not at all.
    const directory = { uuid, generation: 1, epoch: 0, born: 0, areaLength, entries: [] };
    node.write(SLOT_OFFSETS[0], encodeDirectory(directory));
    node.flush();
    node.write(MARK_OFFSET, encodeMark({ state: 'clean', uuid, generation: 1, epoch: 0 }));
    node.flush();
  });
}

const defaultArea = (node: BlockNode): number =>
  Math.min(AREA_BYTES_DEFAULT, Math.floor(node.length / PAGE_BYTES) * PAGE_BYTES);

/** What one commit does to the blobs: bytes to store, or null to delete. */
export type Changes = ReadonlyMap<string, Uint8Array | null>;

/** One of them, with the digest of what is to be stored; without one it is a deletion. */
interface Change {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array | null;
}

const change = (name: string, bytes: Uint8Array | null): Change => ({
  name,
  bytes: bytes ?? new Uint8Array(),
  digest: bytes === null ? null : sha256(bytes),
});

export class NvramStore {
  readonly #node: BlockNode;
  readonly #options: StoreOptions;
  readonly #trace: Trace;
  #state: StoreState;
  /** Why nothing may be stored any more: what a failed write or flush left behind is unknown. */
  #failure: unknown;
  #closed = false;

  private constructor(node: BlockNode, options: StoreOptions, state: StoreState) {
    this.#node = node;
    this.#options = options;
    this.#trace = options.trace ?? noTrace;
    this.#state = state;
  }

  /**
   * Makes the caller the one active instance: validates the store and commits a new epoch.
   * `validate` runs under the same lock before anything is written; what it throws leaves the disk
   * as it was.
   * @throws NvramError EMPTY (not formatted), CORRUPT, REVISION, TOO_SMALL
   */
  static activate(
    node: BlockNode,
    options: StoreOptions = {},
    validate: (store: NvramStore) => void = () => {},
  ): NvramStore {
    return locked(node, options, () => {
      const store = new NvramStore(node, options, mustBeUsable(node, judge(node, options)));
      validate(store);
      store.#takeOver();
      return store;
    });
  }

  get uuid(): Uint8Array {
    return this.#state.directory.uuid;
  }

  get generation(): number {
    return this.#state.directory.generation;
  }

  get epoch(): number {
    return this.#state.directory.epoch;
  }

  /** Whether no blob was ever stored: only then may a new TPM be made. */
  get pristine(): boolean {
    return this.#state.directory.born === 0;
  }

  /** What the mark on the disk says; undefined before the very first one. */
  get markState(): MarkState | undefined {
    return this.#state.mark?.state;
  }

  get blobs(): readonly Entry[] {
    return this.#state.directory.entries;
  }

  /** Whether a store failed; the instance must be powered off and on again. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The bytes of a blob as last stored, or undefined where there is no such blob. */
  load(name: string): Uint8Array | undefined {
    return this.#reading(() => {
      this.#mustBeOurs();
      const entry = this.blobs.find(blob => blob.name === name);
      return entry === undefined ? undefined : this.#read(entry);
    });
  }

  /** Returns once `bytes` would survive a power cut. Bytes equal to what is there write nothing. */
  store(name: string, bytes: Uint8Array): void {
    this.commit(new Map([[name, bytes]]));
  }

  /** Deletes a blob; an absent one is fine. */
  delete(name: string): void {
    this.commit(new Map([[name, null]]));
  }

  /**
   * Makes all `changes` or none. After an exception the state on the disk is the old one, or (if the
   * trouble came after the barrier) the new one, and no further store is taken.
   * @throws NvramError FENCED, CORRUPT, TOO_SMALL; IoError; LockError
   */
  commit(changes: Changes): void {
    this.#writing(() => {
      this.#mustBeOurs();
      const effective = [...changes]
        .map(([name, bytes]) => change(name, bytes))
        .filter(each => this.#differs(each));
      if (effective.length > 0) this.#commit(effective, this.epoch);
    });
  }

  /** Closes in order: from here on, any damage is known to be damage. */
  close(): void {
    if (this.#closed) return;
    if (!this.failed) this.#writing(() => this.#settle('clean'));
    this.#closed = true;
  }

  /** Leaves the store to a migration target. resume() takes it back, if nobody came. */
  handOver(): void {
    this.#writing(() => this.#settle('handed-over'));
  }

  /**
   * Goes on after handOver(), if the store is as it was left. The image is the judge, not the network.
   * @throws NvramError FENCED if another instance has become active
   */
  resume(): void {
    this.#writing(() => {
      this.#mustBeOurs();
      this.#mark('open');
      this.#node.flush();
    });
  }

  /** A read under the lock. */
  #reading<T>(body: () => T): T {
    assert(!this.#closed, 'the store is closed');
    return locked(this.#node, this.#options, body);
  }

  /** One read-validate-write under the lock. A failure on the way is remembered. */
  #writing(body: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#reading(() => {
      try {
        body();
      } catch (error) {
        this.#failure = error;
        throw error;
      }
    });
  }

  /** Commits a new epoch. Runs inside the lock that validated the state. */
  #takeOver(): void {
    // Not clean any more, and that is on the disk before the first slot is touched: else a commit
    // that is cut off would look like damage to a store that was closed in order.
    if (this.#state.mark !== undefined && this.#state.mark.state !== 'open') {
      this.#mark('open');
      this.#node.flush();
    }
    // A generation that was never acknowledged may be in the page cache only, after a failed flush:
    // its blobs are written again and not built upon.
    const doubtful = (this.#state.mark?.generation ?? 0) < this.generation;
    this.#commit(doubtful ? this.#again() : [], this.epoch + 1);
  }

  /** All blobs, to be written once more. */
  #again(): Change[] {
    return this.blobs.map(entry => change(entry.name, this.#read(entry)));
  }

  /**
   * Closes the books: whatever is found wrong later is damage. So nothing may be wrong now; if the
   * older generation was damaged meanwhile, a further commit takes its place.
   */
  #settle(state: MarkState): void {
    this.#mustBeOurs();
    const found = judge(this.#node, this.#options);
    if (found.state === undefined) {
      throw new NvramError('CORRUPT', this.#node.path, found.findings);
    }
    if (!found.intact) this.#commit(this.#again(), this.epoch);
    this.#mark(state);
    this.#node.flush();
  }

  /**
   * Both slots are still what we wrote or validated, byte for byte. Whoever became active meanwhile
   * wrote a directory with an epoch of its own, whether locks work here or not.
   */
  #mustBeOurs(): void {
    const pages = SLOT_OFFSETS.map(offset => this.#node.read(offset, PAGE_BYTES));
    const changed = pages.flatMap((page, index) =>
      equal(page, this.#state.pages[index]!) ? [] : [readDirectory(page)],
    );
    if (changed.length === 0) return;
    const foreign = changed.find(found => found.is === 'sound');
    const path = this.#node.path;
    if (foreign?.is === 'sound') {
      const { epoch, generation } = foreign.value;
      throw new NvramError('FENCED', path, [
        `the store is at epoch ${epoch}, generation ${generation}; ours is epoch ${this.epoch}, generation ${this.generation}`,
      ]);
    }
    throw new NvramError('CORRUPT', path, ['a directory was damaged while the TPM was active']);
  }

  #differs({ name, bytes, digest }: Change): boolean {
    const entry = this.blobs.find(blob => blob.name === name);
    if (entry === undefined || digest === null) return (entry === undefined) !== (digest === null);
    return entry.length !== bytes.length || !equal(entry.digest, digest);
  }

  #read({ name, offset, length, digest }: Entry): Uint8Array {
    const bytes = this.#node.read(offset, length);
    if (equal(sha256(bytes), digest)) return bytes;
    const why = `blob ${name} at offset ${offset}, ${length} bytes: its digest is wrong`;
    throw new NvramError('CORRUPT', this.#node.path, [why]);
  }

  #commit(changes: readonly Change[], epoch: number): void {
    const { directory: old, slot } = this.#state;
    const generation = old.generation + 1;
    const into: SlotIndex = slot === 0 ? 1 : 0;
    const { entries, writes } = this.#place(changes, generation, into);
    const born = old.born === 0 && entries.length > 0 ? generation : old.born;
    const directory: Directory = { ...old, generation, epoch, born, entries };
    const page = encodeDirectory(directory);

    for (const [offset, bytes] of joined([[SLOT_OFFSETS[into], page], ...writes])) {
      this.#node.write(offset, bytes);
    }
    this.#node.flush();

    // From here on it is stored, and the mark may say so. It becomes durable with the next barrier.
    const pages = [...this.#state.pages] as [Uint8Array, Uint8Array];
    pages[into] = page;
    this.#state = { ...this.#state, slot: into, directory, pages };
    this.#mark('open');
    this.#trace({ event: 'commit', generation, epoch, blobs: changes.map(({ name }) => name) });
  }

  /** Finds room for what changes, clear of everything that the old state uses. */
  #place(
    changes: readonly Change[],
    generation: number,
    into: SlotIndex,
  ): { entries: Entry[]; writes: [number, Uint8Array][] } {
    const { entries: kept, areaLength } = this.#state.directory;
    const { halves, pool } = stretches(areaLength);
    const used: Extent[] = [...kept];
    const entries = kept.filter(entry => !changes.some(({ name }) => name === entry.name));
    const writes: [number, Uint8Array][] = [];

    for (const { name, bytes, digest } of changes) {
      if (digest === null) continue;
      assert(isBlobName(name), `${name} is not the name of a blob`);
      // The first blob has the halves, beside the directories; the others keep out of its way.
      const first = kept.length === 0 || kept[0]!.name === name;
      const near = [halves[into], halves[1 - into]!];
      const wanted = first ? [...near, pool] : [pool, ...near];
      const offset = allocate(roundUp(bytes.length), used, wanted);
      if (offset === undefined || entries.length >= ENTRIES_MAX) {
        const why = `there is no room for ${bytes.length} bytes of blob ${name} in a store of ${areaLength}`;
        throw new NvramError('TOO_SMALL', this.#node.path, [why]);
      }
      used.push({ offset, length: bytes.length });
      const entry = { name, offset, length: bytes.length, generation, digest };
      if (first) entries.unshift(entry);
      else entries.push(entry);
      writes.push([offset, bytes]);
    }
    return { entries, writes };
  }

  #mark(state: MarkState): void {
    const { uuid, generation, epoch } = this.#state.directory;
    const mark = { state, uuid, generation, epoch };
    this.#node.write(MARK_OFFSET, encodeMark(mark));
    this.#state = { ...this.#state, mark };
  }
}

/** Writes that touch each other, made into one: a system call and a disk request fewer. */
function joined(writes: readonly (readonly [number, Uint8Array])[]): [number, Uint8Array][] {
  const result: [number, Uint8Array][] = [];
  for (const [offset, bytes] of [...writes].sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last !== undefined && last[0] + last[1].length === offset) {
      last[1] = concat(last[1], bytes);
    } else {
      result.push([offset, bytes]);
    }
  }
  return result;
}
