/**
 * Named blobs in memory: for tests, and for emulators that keep the state of a TPM in a snapshot of
 * their own.
 * @module
 */
import assert from 'node:assert/strict';
import { equal } from '../../wire/codec.js';
import {
  BLOB_BYTES_DEFAULT,
  type BlobName,
  type BlobStore,
  type Changes,
  demandBlobLength,
  demandBlobName,
  type StoreAbilities,
} from '../store.js';

/** The blobs that the store starts with, and its limits. */
export interface MemoryStoreOptions {
  /** For messages. Default `memory`. */
  readonly path?: string;
  /** What the store holds at first: snapshot() of an earlier one. */
  readonly blobs?: ReadonlyMap<BlobName, Uint8Array>;
  /** The most bytes that one blob may have. Default 256 KiB. */
  readonly blobLimit?: number;
}

const ABILITIES: StoreAbilities = {
  fencing: false,
  atomicChanges: true,
  history: false,
  handOver: false,
};

export class MemoryStore implements BlobStore {
  readonly path: string;
  readonly can = ABILITIES;
  readonly #blobLimit: number;
  #blobs: ReadonlyMap<BlobName, Uint8Array>;
  #pristine: boolean;
  #isClosed = false;

  constructor({ path = 'memory', blobs, blobLimit = BLOB_BYTES_DEFAULT }: MemoryStoreOptions = {}) {
    this.path = path;
    this.#blobLimit = blobLimit;
    this.#blobs = new Map();
    this.#pristine = true;
    if (blobs !== undefined) this.commit(blobs);
  }

  get pristine(): boolean {
    return this.#pristine;
  }

  load(name: BlobName): Uint8Array | undefined {
    this.#demandOpen();
    return this.#blobs.get(name)?.slice();
  }

  /** @throws NvramError INVALID_NAME, TOO_SMALL; nothing is changed then */
  commit(changes: Changes): void {
    this.#demandOpen();
    const blobs = new Map(this.#blobs);
    for (const [name, bytes] of changes) {
      if (bytes === null) {
        blobs.delete(name);
        continue;
      }
      demandBlobName(this.path, name);
      demandBlobLength(this.path, name, bytes.length, this.#blobLimit);
      const stored = blobs.get(name);
      if (stored === undefined || !equal(stored, bytes)) blobs.set(name, bytes.slice());
    }
    this.#blobs = blobs;
    this.#pristine &&= blobs.size === 0;
  }

  /** A copy of everything that is stored, also after close(). */
  snapshot(): Map<BlobName, Uint8Array> {
    return new Map([...this.#blobs].map(([name, bytes]) => [name, bytes.slice()]));
  }

  close(): void {
    this.#isClosed = true;
  }

  abandon(): void {
    this.#isClosed = true;
  }

  #demandOpen(): void {
    assert(!this.#isClosed, 'the store is closed');
  }
}
