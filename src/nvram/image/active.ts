/**
 * The store of the one active instance. Every method is a cycle of its own: lock, read, validate,
 * write, flush, unlock. Inside a lock that the caller holds it costs no further one.
 * @module
 */
import assert from 'node:assert/strict';
import { withLock } from '../../block/lock.js';
import type { LockedNode } from '../../block/node.js';
import { unreachable } from '../../block/proof.js';
import type { BlobName, BlobStore, Changes, StoreAbilities } from '../store.js';
import type { Key } from './cipher.js';
import { planClose, writeClose } from './close.js';
import { type CommitPlan, planChanges, planRestore, writeCommit } from './commit.js';
import { demandOurs, isOurs } from './fence.js';
import { HandedOverStore } from './handed-over.js';
import { keptGenerations } from './history.js';
import type { AckState } from './layout.js';
import type { Blob, Opened } from './opened.js';
import { planRekey, type RekeyReport } from './rekey.js';
import { scrub } from './scrub.js';

const ABILITIES: StoreAbilities = {
  fencing: true,
  atomicChanges: true,
  history: true,
  handOver: true,
};

export class ActiveStore implements BlobStore {
  readonly path: string;
  readonly can = ABILITIES;
  readonly #opened: Opened;
  /** The write or flush that failed: what it left on the disk is unknown, so no more is stored. */
  #failure: unknown;
  #phase: 'active' | 'handed over' | 'closed' = 'active';

  /** @internal */
  constructor(opened: Opened) {
    this.#opened = opened;
    this.path = opened.node.path;
  }

  get uuid(): Uint8Array {
    return this.#opened.directory.uuid;
  }

  get generation(): number {
    return this.#opened.directory.generation;
  }

  get epoch(): number {
    return this.#opened.directory.epoch;
  }

  get pristine(): boolean {
    return this.#opened.directory.firstBlobGeneration === 0;
  }

  get encrypted(): boolean {
    return this.#opened.directory.encryption.kind !== 0;
  }

  get blobs(): readonly Blob[] {
    return this.#opened.blobs;
  }

  /** Older states that restore() can bring back, newest first. */
  get kept(): readonly number[] {
    return keptGenerations(this.#opened.directory.entries);
  }

  /** Whether a write failed: nothing can be stored until the store is opened again. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  load(name: BlobName): Uint8Array | undefined {
    return this.#cycle(disk => {
      const entry = this.#opened.entry(name);
      return entry === undefined ? undefined : this.#opened.read(disk, entry);
    });
  }

  /** Returns once `bytes` would survive a power cut. @throws what commit throws */
  store(name: BlobName, bytes: Uint8Array): void {
    this.commit(new Map([[name, bytes]]));
  }

  /** Deletes a blob; an absent one is fine. @throws what commit throws */
  delete(name: BlobName): void {
    this.commit(new Map([[name, null]]));
  }

  /**
   * Makes all `changes` or none. Where a write or flush fails, the disk holds the old state, or (after
   * the barrier) the new one, and every further store is refused. Every other error leaves the store usable.
   * @throws NvramError INVALID_NAME, TOO_SMALL, FENCED, CORRUPT; IoError; LockError; ImageError
   */
  commit(changes: Changes): void {
    this.#storing(disk => planChanges(disk, this.#opened, changes));
  }

  /**
   * Restores a kept state as a new commit; the current state is kept in its turn.
   * @throws NvramError NOT_KEPT if that state is no longer kept; what commit throws
   */
  restore(generation: number): void {
    this.#storing(disk => planRestore(disk, this.#opened, generation));
  }

  /**
   * Encrypts everything, kept states too, with another key, or with none, as one atomic commit. Then
   * the old bytes are overwritten; if that is interrupted, the next activation does it.
   * @throws RangeError for a key of another length; what commit throws
   */
  rekey(key: Key | undefined): RekeyReport {
    let report: RekeyReport = { unreachable: [] };
    this.#storing(
      disk => planRekey(disk, this.#opened, key),
      disk => {
        scrub(disk, this.#opened);
        report = { unreachable: unreachable(disk) };
      },
    );
    return report;
  }

  /**
   * Hands the store over to the destination of a migration. This object is unusable afterwards;
   * resume() of the returned one makes another. After an exception the store is still active.
   * @throws NvramError FENCED, CORRUPT; IoError; LockError
   */
  handOver(): HandedOverStore<ActiveStore> {
    this.#closing('handed-over');
    this.#phase = 'handed over';
    return new HandedOverStore(this.#opened, opened => new ActiveStore(opened));
  }

  /**
   * Closes in order, so that later damage cannot be mistaken for a torn store. Wipes the key even if it
   * throws.
   * @throws NvramError FENCED, CORRUPT; IoError; LockError
   */
  close(): void {
    if (this.#phase !== 'active') return;
    try {
      if (!this.failed) this.#closing('clean');
    } finally {
      this.abandon();
    }
  }

  /** Closes as a power cut would, but wipes the key. */
  abandon(): void {
    if (this.#phase !== 'active') return;
    this.#phase = 'closed';
    this.#opened.wipe();
  }

  /** Whether no other instance has become active. @throws IoError; LockError; NvramError CORRUPT */
  isOurs(): boolean {
    return isOurs(this.#opened);
  }

  /** One cycle: under the lock, behind the fence. */
  #cycle<T>(act: (disk: LockedNode) => T): T {
    assert(this.#phase === 'active', `the store is ${this.#phase}`);
    const { node, wait } = this.#opened;
    return withLock(node, wait, disk => {
      demandOurs(disk, this.#opened);
      return act(disk);
    });
  }

  /** Plans a commit and writes it. `plan` writes nothing, so only a failing write poisons the store. */
  #storing(
    plan: (disk: LockedNode) => CommitPlan | undefined,
    after?: (disk: LockedNode) => void,
  ): void {
    this.#demandUsable();
    this.#cycle(disk => {
      const planned = plan(disk);
      if (planned === undefined) return;
      this.#writing(() => {
        writeCommit(disk, this.#opened, planned);
        after?.(disk);
      });
    });
  }

  #closing(state: Exclude<AckState, 'open'>): void {
    this.#demandUsable();
    this.#cycle(disk => {
      const plan = planClose(disk, this.#opened);
      this.#writing(() => writeClose(disk, this.#opened, plan, state));
    });
  }

  #demandUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #writing(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
