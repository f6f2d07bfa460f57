/**
 * A store that was handed over: another instance may become active, and until one has, resume() takes
 * it back.
 * @module
 */
import assert from 'node:assert/strict';
import { withLock } from '../../block/lock.js';
import type { BlobStore, HandedOver } from '../store.js';
import { acknowledge } from './commit.js';
import { demandOurs, isOurs } from './fence.js';
import type { Opened } from './opened.js';

export class HandedOverStore<Active extends BlobStore = BlobStore> implements HandedOver {
  readonly path: string;
  readonly #opened: Opened;
  readonly #activeAgain: (opened: Opened) => Active;
  #isSpent = false;

  /** @internal */
  constructor(opened: Opened, activeAgain: (opened: Opened) => Active) {
    this.path = opened.node.path;
    this.#opened = opened;
    this.#activeAgain = activeAgain;
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

  /**
   * Takes the store back, if it is as it was left. Where it throws, the store stays handed over, and
   * after a LockError or an IoError another try may succeed.
   * @throws NvramError FENCED if another instance has become active, CORRUPT; LockError; IoError
   */
  resume(): Active {
    assert(!this.#isSpent, 'the store was taken back or dropped');
    const opened = this.#opened;
    withLock(opened.node, opened.wait, disk => {
      demandOurs(disk, opened);
      acknowledge(disk, opened, 'open');
      disk.flush();
    });
    this.#isSpent = true;
    return this.#activeAgain(opened);
  }

  /** The destination has the TPM: wipes the key. Idempotent. */
  finish(): void {
    this.abandon();
  }

  /** @throws IoError; LockError; NvramError CORRUPT */
  isOurs(): boolean {
    return isOurs(this.#opened);
  }

  /** Drops the store as a power cut would, and wipes the key. Idempotent. */
  abandon(): void {
    if (this.#isSpent) return;
    this.#isSpent = true;
    this.#opened.wipe();
  }
}
