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
import type { BlockNode, LockedNode } from '../block/node.js';
import { noTrace, type Trace } from '../trace.js';
import { equal } from '../wire/codec.js';
import { type Assessment, headOf, type StoreState } from './assess.js';
import { judge, locked, type StoreOptions } from './cycle.js';
import { NvramError } from './errors.js';
import { gaps } from './extents.js';
import { isCurrent, keptGenerations, pruned, stateOf } from './history.js';
import {
  type Directory,
  type Entry,
  encodeDirectory,
  encodeMark,
  isBlobName,
  MARK_OFFSET,
  type MarkState,
  PAGE_BYTES,
  readDirectory,
  SECTOR_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
  sha256,
  UNSEALED,
} from './layout.js';
import { type Draft, place, Scratch } from './place.js';
import { type Key, SEALED_EXTRA_BYTES, Seal } from './seal.js';

export interface ActivateOptions extends StoreOptions {
  /** Random bytes, for the nonces of a sealed store. */
  readonly entropy?: (length: number) => Uint8Array;
  /** What a sealed store is opened with. */
  readonly key?: Key;
}

/** What one commit does to the blobs: bytes to store, or null to delete. */
export type Changes = ReadonlyMap<string, Uint8Array | null>;

/** A blob that is there: how long it is for its user, and since which generation. */
export interface Blob {
  readonly name: string;
  readonly length: number;
  readonly generation: number;
}

export class NvramStore {
  readonly #node: BlockNode;
  /** The disk, while its lock is held. */
  #locked: LockedNode | undefined;
  readonly #options: ActivateOptions;
  readonly #trace: Trace;
  readonly #scratch = new Scratch();
  #state: StoreState;
  #seal: Seal | undefined;
  /** Why nothing may be stored any more: what a failed write or flush left behind is unknown. */
  #failure: unknown;
  #closed = false;

  private constructor(node: BlockNode, options: ActivateOptions, state: StoreState, seal?: Seal) {
    this.#node = node;
    this.#options = options;
    this.#trace = options.trace ?? noTrace;
    this.#state = state;
    this.#seal = seal;
  }

  /**
   * Makes the caller the one active instance: validates the store and commits a new epoch.
   * `validate` runs under the same lock before anything is written; what it throws leaves the disk
   * as it was.
   * @throws NvramError EMPTY (not formatted), CORRUPT, REVISION, TOO_SMALL, KEY_REQUIRED, WRONG_KEY
   */
  static activate(
    node: BlockNode,
    options: ActivateOptions = {},
    validate: (store: NvramStore) => void = () => {},
  ): NvramStore {
    return locked(node, options, disk => {
      const state = mustBeUsable(node, judge(disk, options));
      const seal = unlock(node, state.directory, options.key);
      const store = new NvramStore(node, options, state, seal);
      validate(store);
      store.#reading(() => store.#takeOver());
      return store;
    });
  }

  static peek(disk: LockedNode, options: ActivateOptions): NvramStore {
    const state = mustBeUsable(disk.node, judge(disk, options));
    const seal = unlock(disk.node, state.directory, options.key);
    return new NvramStore(disk.node, options, state, seal);
  }

  takeOver(): void {
    this.#reading(() => this.#takeOver());
  }

  /**
   * Does what is certain, and takes no key: a store that was cut off is dropped, or finished where
   * all of it had landed, and the store is closed in order. Whoever was active is fenced off.
   * @returns whether there was anything to do
   * @throws NvramError for what cannot be repaired: CORRUPT, REVISION, TOO_SMALL, EMPTY
   */
  static repair(node: BlockNode, options: StoreOptions = {}): boolean {
    return locked(node, options, disk => {
      const found = judge(disk, options);
      const state = mustBeUsable(node, found);
      if (found.intact && state.mark !== undefined && state.mark.state !== 'open') return false;
      // Without its seal a store copies sealed blobs as they are: name and generation stay.
      const store = new NvramStore(node, options, state);
      store.#reading(() => {
        store.#takeOver();
        store.#settle('clean');
      });
      store.abandon();
      return true;
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

  get sealed(): boolean {
    return this.#seal !== undefined;
  }

  get blobs(): readonly Blob[] {
    const extra = this.sealed ? SEALED_EXTRA_BYTES : 0;
    return this.#current.map(({ name, length, generation }) => ({
      name,
      length: length - extra,
      generation,
    }));
  }

  /** Older states that restore() can bring back, newest first. */
  get kept(): readonly number[] {
    return keptGenerations(this.#state.directory.entries);
  }

  /** Whether a store failed; the instance must be powered off and on again. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The bytes of a blob as last stored, or undefined where there is no such blob. */
  load(name: string): Uint8Array | undefined {
    return this.#reading(() => {
      this.#mustBeOurs();
      const entry = this.#entry(name);
      return entry === undefined ? undefined : this.#open(entry);
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
      const digests = new Map<string, Uint8Array>();
      const effective = new Map(
        [...changes].filter(([name, bytes]) => this.#differs(name, bytes, digests)),
      );
      if (effective.size > 0) this.#commit({ entries: this.#changed(effective, digests) });
    });
  }

  /**
   * Brings a kept state back, as a new commit: what is current now is kept in its turn.
   * @throws NvramError NOT_KEPT if that state is not there any more
   */
  restore(generation: number): void {
    const wanted = stateOf(this.#state.directory.entries, generation);
    if (wanted === undefined) {
      const kept = this.kept.join(', ') || 'none';
      const why = `generation ${generation} is not kept; kept are: ${kept}`;
      throw new NvramError('NOT_KEPT', this.#node.path, [why]);
    }
    const changes = new Map<string, Uint8Array | null>();
    for (const { name } of this.#current) changes.set(name, null);
    for (const entry of wanted)
      changes.set(
        entry.name,
        this.#reading(() => this.#open(entry)),
      );
    this.commit(changes);
  }

  /**
   * Seals everything, kept states too, with another key, or with none, as one atomic commit. Then
   * the space that held it before is overwritten; cut off before that is done, the next power on
   * does it.
   */
  rekey(key: Key | undefined): void {
    this.#writing(() => {
      this.#mustBeOurs();
      const { directory } = this.#state;
      const fresh = key === undefined ? undefined : Seal.fresh(key, directory.uuid, this.#entropy);
      const plain = directory.entries.map(entry => ({ entry, bytes: this.#open(entry) }));
      this.#seal?.wipe();
      this.#seal = fresh?.seal;
      const entries = plain.map(({ entry, bytes }) => this.#draft(entry, bytes));
      this.#commit({ entries, sealing: fresh?.sealing ?? UNSEALED, unscrubbed: true });
      if (this.sealed) for (const { bytes } of plain) bytes.fill(0);
      this.#scrub();
    });
  }

  /**
   * Closes in order: from here on, any damage is known to be damage. Keys are wiped from memory.
   * @throws NvramError CORRUPT if the state was damaged meanwhile; the store is closed all the same
   */
  close(): void {
    if (this.#closed) return;
    try {
      if (!this.failed) this.#writing(() => this.#settle('clean'));
    } finally {
      this.abandon();
    }
  }

  /** Closes without a word, as a power cut does, but for the keys, which are wiped. */
  abandon(): void {
    this.#closed = true;
    this.#seal?.wipe();
    this.#scratch.wipe();
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
    this.#reading(() => {
      this.#mustBeOurs();
      this.#mark('open');
      this.#disk.flush();
    });
  }

  /** Whether the image still holds what this instance wrote last, and no other has become active. */
  isOurs(): boolean {
    try {
      this.#reading(() => this.#mustBeOurs());
      return true;
    } catch (error) {
      if (error instanceof NvramError && error.code === 'FENCED') return false;
      throw error;
    }
  }

  get #current(): readonly Entry[] {
    return this.#state.directory.entries.filter(isCurrent);
  }

  readonly #entropy = (length: number): Uint8Array => {
    assert(this.#options.entropy !== undefined, 'a sealed store needs entropy');
    return this.#options.entropy(length);
  };

  #entry(name: string): Entry | undefined {
    return this.#current.find(entry => entry.name === name);
  }

  /** A read under the lock. */
  #reading<T>(body: () => T): T {
    assert(!this.#closed, 'the store is closed');
    return locked(this.#node, this.#options, disk => {
      const outer = this.#locked;
      this.#locked = disk;
      try {
        return body();
      } finally {
        this.#locked = outer;
      }
    });
  }

  get #disk(): LockedNode {
    assert(this.#locked !== undefined, 'the disk is locked');
    return this.#locked;
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
    // A generation that was never acknowledged may be in the page cache only, after a failed flush;
    // or it was acknowledged, and its mark did not land. Writing the very same bytes once more
    // harms neither, and makes sure of them before the slot of the generation before is used.
    if ((this.#state.mark?.generation ?? 0) < this.generation) {
      this.#writeAgain();
      this.#disk.flush();
    }
    // Not clean any more, and that is on the disk before the first slot is touched: else a commit
    // that is cut off would look like damage to a store that was closed in order.
    this.#mark('open');
    this.#disk.flush();
    this.#commit({ entries: this.#state.directory.entries, epoch: this.epoch + 1 });
    const canScrub = this.sealed || this.#state.directory.sealing.kind === 0;
    if (this.#state.directory.unscrubbed && canScrub) this.#scrub();
  }

  /**
   * Closes the books: whatever is found wrong later is damage. So nothing may be wrong now; if the
   * older generation was damaged meanwhile, a further commit takes its place.
   */
  #settle(state: MarkState): void {
    this.#mustBeOurs();
    const found = judge(this.#disk, this.#options);
    if (found.state === undefined) {
      throw new NvramError('CORRUPT', this.#node.path, found.findings);
    }
    if (!found.intact) this.#commit({ entries: this.#again() });
    this.#mark(state);
    this.#disk.flush();
  }

  /**
   * Overwrites all space that no blob uses, once nothing there is needed any more: both slots must
   * hold what was sealed with the present key.
   */
  #scrub(): void {
    this.#commit({ entries: this.#again() });
    const old = this.#state.older;
    const used = [...this.#state.directory.entries, ...old];
    const zeros = new Uint8Array(SLOT_OFFSETS[1]);
    for (const { offset, length } of gaps(used, this.#state.directory.areaLength)) {
      for (let done = 0; done < length; done += zeros.length) {
        this.#disk.write(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
      }
    }
    this.#disk.flush();
    this.#commit({ entries: this.#state.directory.entries, unscrubbed: false });
  }

  /** Writes the newest generation where it is, as it is. */
  #writeAgain(): void {
    const { slot, directory } = this.#state;
    for (const { offset, length } of directory.entries) {
      this.#disk.write(offset, this.#disk.read(offset, length));
    }
    this.#disk.write(SLOT_OFFSETS[slot], encodeDirectory(directory));
  }

  /** All blobs, to be written once more, elsewhere. */
  #again(): Draft[] {
    return this.#state.directory.entries.map(entry => this.#draft(entry, this.#open(entry)));
  }

  /**
   * Both slots are still what we wrote or validated. Whoever became active meanwhile wrote a
   * directory with an epoch of its own, whether locks work here or not.
   */
  #mustBeOurs(): void {
    const changed = SLOT_OFFSETS.filter((offset, index) => {
      const head = this.#disk.read(offset, SECTOR_BYTES);
      return !equal(head, this.#state.heads[index]!);
    });
    if (changed.length === 0) return;
    const path = this.#node.path;
    for (const offset of changed) {
      const found = readDirectory(this.#disk.read(offset, PAGE_BYTES));
      if (found.is !== 'sound') continue;
      const { epoch, generation } = found.value;
      throw new NvramError('FENCED', path, [
        `the store is at epoch ${epoch}, generation ${generation}; ours is epoch ${this.epoch}, generation ${this.generation}`,
      ]);
    }
    throw new NvramError('CORRUPT', path, ['a directory was damaged while the TPM was active']);
  }

  /** Whether a change is one. Digests that are computed on the way are kept in `digests`. */
  #differs(name: string, bytes: Uint8Array | null, digests: Map<string, Uint8Array>): boolean {
    const entry = this.#entry(name);
    if (entry === undefined || bytes === null) return (entry === undefined) !== (bytes === null);
    if (this.#seal !== undefined) return !equal(this.#open(entry), bytes);
    if (entry.length !== bytes.length) return true;
    const digest = sha256(bytes);
    digests.set(name, digest);
    return !equal(entry.digest, digest);
  }

  /** The plain bytes of a blob. */
  #open(entry: Entry): Uint8Array {
    const { name, offset, length, generation, digest } = entry;
    const stored = this.#disk.read(offset, length);
    const where = `blob ${name} at offset ${offset}, ${length} bytes`;
    if (!equal(sha256(stored), digest)) {
      throw new NvramError('CORRUPT', this.#node.path, [`${where}: its digest is wrong`]);
    }
    if (this.#seal === undefined) return stored;
    const plain = this.#seal.open({ uuid: this.uuid, name, generation }, stored);
    if (plain !== undefined) return plain;
    const why = `${where}: it was not sealed here, under this name and generation`;
    throw new NvramError('CORRUPT', this.#node.path, [why]);
  }

  /** A blob that a commit writes, sealed if the store is. */
  #draft(
    { name, generation, until }: Pick<Draft, 'name' | 'generation' | 'until'>,
    plain: Uint8Array,
  ): Draft {
    const { uuid } = this;
    const bytes = this.#seal?.seal({ uuid, name, generation }, plain, this.#entropy) ?? plain;
    return { name, generation, until, bytes };
  }

  #mustFit(name: string, { length }: Uint8Array): void {
    assert(isBlobName(name), `${name} is not the name of a blob`);
    const { blobLimit } = this.#state.directory;
    if (length <= blobLimit) return;
    const why = `blob ${name} has ${length} bytes, and the store takes ${blobLimit} at most`;
    throw new NvramError('TOO_SMALL', this.#node.path, [why]);
  }

  /** The entries after `changes`: what is replaced becomes history, as far as that is kept. */
  #changed(changes: Changes, digests: ReadonlyMap<string, Uint8Array>): (Entry | Draft)[] {
    const { entries, keep, generation } = this.#state.directory;
    const kept = entries.map(entry =>
      isCurrent(entry) && changes.has(entry.name) ? { ...entry, until: generation } : entry,
    );
    // The first blob keeps the first place: it is the one that lies beside the directories.
    const drafts = [...changes].flatMap(([name, bytes]) => {
      if (bytes === null) return [];
      this.#mustFit(name, bytes);
      const draft = this.#draft({ name, generation: generation + 1, until: 0 }, bytes);
      return [{ ...draft, digest: digests.get(name) }];
    });
    return [...drafts, ...pruned(kept, keep)];
  }

  #commit({ entries: planned, ...fields }: Plan): void {
    const { directory: old, slot } = this.#state;
    const into: SlotIndex = slot === 0 ? 1 : 0;
    const generation = old.generation + 1;
    const placed = place(planned, old, into, this.#disk);
    const born = old.born === 0 && placed.entries.length > 0 ? generation : old.born;
    const { areaLength, entries } = placed;
    const directory: Directory = { ...old, generation, born, areaLength, ...fields, entries };
    const page = encodeDirectory(directory, this.#scratch.page);

    const writes = [[SLOT_OFFSETS[into], page] as const, ...placed.writes];
    for (const [offset, bytes] of this.#scratch.joined(writes)) {
      this.#disk.write(offset, bytes);
    }
    this.#disk.flush();

    // From here on it is stored, and the mark may say so. It becomes durable with the next barrier.
    const heads = [...this.#state.heads] as [Uint8Array, Uint8Array];
    heads[into] = headOf(page);
    this.#state = { ...this.#state, slot: into, directory, heads, older: old.entries };
    this.#mark('open');
    const blobs = planned.flatMap(each => ('bytes' in each ? [each.name] : []));
    this.#trace({ event: 'commit', generation, epoch: this.epoch, blobs });
  }

  #mark(state: MarkState): void {
    const { uuid, generation, epoch } = this.#state.directory;
    const mark = { state, uuid, generation, epoch };
    this.#disk.write(MARK_OFFSET, encodeMark(mark));
    this.#state = { ...this.#state, mark };
  }
}

/** What a commit writes: the entries, and whatever else of the directory changes. */
interface Plan extends Partial<Pick<Directory, 'epoch' | 'sealing' | 'unscrubbed'>> {
  readonly entries: readonly (Entry | Draft)[];
}

function mustBeUsable(node: BlockNode, found: Assessment): StoreState {
  if (found.state !== undefined) return found.state;
  assert(found.verdict !== 'OK', 'a store that is in order has a state');
  throw new NvramError(found.verdict, node.path, found.findings);
}

/**
 * The seal of a store, undefined where it has none.
 * @throws NvramError KEY_REQUIRED, WRONG_KEY
 */
function unlock(node: BlockNode, directory: Directory, key: Key | undefined): Seal | undefined {
  if (directory.sealing.kind === 0) {
    if (key === undefined) return undefined;
    throw new NvramError('WRONG_KEY', node.path, ['a key was given, and the store is not sealed']);
  }
  if (key === undefined) throw new NvramError('KEY_REQUIRED', node.path, ['the store is sealed']);
  const seal = Seal.of(key, directory.sealing);
  if (seal?.fits(directory)) return seal;
  throw new NvramError('WRONG_KEY', node.path, ['this key does not open the store']);
}
