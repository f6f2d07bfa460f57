/**
 * Where the state of an instance is kept: in an image, which has a guard, a lock and epochs, or in any
 * other blob store. Both are opened the same way: read and validated first, activated later.
 * @module
 */
import { withLock } from '../block/lock.js';
import type { BlockNode } from '../block/node.js';
import type { LockWait } from '../lock/lock.js';
import {
  ActiveStore,
  type BlobStore,
  type Candidate,
  type Key,
  NvramError,
  openStore,
} from '../nvram/index.js';
import type { Entropy } from '../tpm/engine.js';
import type { Trace } from '../trace.js';

/** An image, open for writing and not closed by the machine, or a store of another kind. */
export type Storage =
  | { readonly image: BlockNode; readonly store?: undefined }
  | {
      /** Opens the store, at each power on. */
      readonly store: () => BlobStore;
      readonly image?: undefined;
    };

export interface StorageOptions {
  readonly entropy: Entropy;
  readonly trace?: Trace;
  /** How long to wait for the lock of the image. */
  readonly wait?: LockWait;
  /** Opens an encrypted store; encrypts the store where an empty image is formatted. */
  readonly key?: Key | undefined;
}

/** A store that was read and validated; nothing is written before activate(). */
export interface Opened {
  readonly path: string;
  readonly pristine: boolean;
  readonly uuid?: Uint8Array | undefined;
  readonly generation?: number | undefined;
  readonly epoch?: number | undefined;
  readonly ackState?: Candidate['ackState'] | undefined;
  load(name: string): Uint8Array | undefined;
  activate(): BlobStore;
  discard(): void;
}

/**
 * Opens the store and runs `act`, in one lock cycle of the image.
 * @throws NvramError EMPTY (with 'refuse'), CORRUPT, REVISION, TOO_SMALL, KEY_REQUIRED, WRONG_KEY;
 *   LockError; ImageError; IoError
 */
export function opening<T>(
  options: Storage & StorageOptions,
  whenEmpty: 'refuse' | 'format',
  act: (opened: Opened) => T,
): T {
  if (options.image === undefined) return act(ready(options.store(), whenEmpty));
  const { image, wait } = options;
  return withLock(image, wait, disk => act(openStore(disk, { ...options, whenEmpty })));
}

/** A store that needs no activation. */
function ready(store: BlobStore, whenEmpty: 'refuse' | 'format'): Opened {
  const { path, pristine } = store;
  if (pristine && whenEmpty === 'refuse') {
    store.abandon();
    throw new NvramError('EMPTY', path, ['there is no TPM in it']);
  }
  return {
    path,
    pristine,
    load: name => store.load(name),
    activate: () => store,
    discard: () => store.abandon(),
  };
}

/** What a store is like, without the means to write to it. */
export interface StoreInfo {
  readonly path: string;
  /** Of a store in an image: 16 bytes. */
  readonly uuid: Uint8Array | undefined;
  /** 0 where the store has no generations or epochs, as a memory store. */
  readonly generation: number;
  readonly epoch: number;
  /** The blobs by name, and their lengths; empty where the store does not list them. */
  readonly blobs: readonly { readonly name: string; readonly length: number }[];
  /** The generations that a restore can bring back, newest first. */
  readonly kept: readonly number[];
  readonly encrypted: boolean;
}

export function infoOf(store: BlobStore): StoreInfo {
  const { path } = store;
  if (!(store instanceof ActiveStore)) {
    const nothing = { blobs: [], kept: [], encrypted: false };
    return { path, uuid: undefined, generation: 0, epoch: 0, ...nothing };
  }
  const { uuid, generation, epoch, blobs, kept, encrypted } = store;
  return { path, uuid: uuid.slice(), generation, epoch, blobs, kept, encrypted };
}
