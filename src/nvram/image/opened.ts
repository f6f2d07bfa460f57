/**
 * A store that was opened: what is known of it, and its key. Its phases (candidate, active, handed
 * over) share one of these, one at a time.
 * @module
 */
import assert from 'node:assert/strict';
import type { BlockNode, LockedNode } from '../../block/node.js';
import type { LockWait } from '../../lock/lock.js';
import { safeTrace, type Trace } from '../../trace.js';
import { equal } from '../../wire/codec.js';
import { NvramError } from '../errors.js';
import type { BlobName } from '../store.js';
import type { StoreState } from './assess.js';
import { type BlobCipher, ENCRYPTION_EXTRA_BYTES, type Entropy, type Key } from './cipher.js';
import { isCurrent, keptGenerations, stateOf } from './history.js';
import type { Keys } from './keyring.js';
import type { Directory, Entry } from './layout.js';
import { sha256 } from './pages.js';
import type { Draft } from './place.js';

/** The key of a store, its entropy, waits and trace. */
export interface OpenStoreOptions {
  /** Opens an encrypted store, and encrypts one that is formatted. */
  readonly key?: Key | undefined;
  /** Random bytes, for uuids and nonces: needed by an encrypted store and by formatting. */
  readonly entropy?: Entropy | undefined;
  readonly trace?: Trace | undefined;
  /** How long each cycle waits for the lock. */
  readonly wait?: LockWait | undefined;
}

/** A blob that is there: how long it is for its user, and since which generation. */
export interface Blob {
  readonly name: BlobName;
  readonly length: number;
  readonly generation: number;
}

export class Opened implements Keys {
  readonly node: BlockNode;
  readonly wait: LockWait | undefined;
  readonly trace: Trace;
  readonly #entropy: Entropy | undefined;
  state: StoreState;
  cipher: BlobCipher | undefined;

  constructor(
    node: BlockNode,
    { wait, trace, entropy }: OpenStoreOptions,
    state: StoreState,
    cipher: BlobCipher | undefined,
  ) {
    this.node = node;
    this.wait = wait;
    this.trace = safeTrace(trace);
    this.#entropy = entropy;
    this.state = state;
    this.cipher = cipher;
  }

  get directory(): Directory {
    return this.state.directory;
  }

  get current(): readonly Entry[] {
    return this.directory.entries.filter(isCurrent);
  }

  get blobs(): readonly Blob[] {
    const extra = this.cipher === undefined ? 0 : ENCRYPTION_EXTRA_BYTES;
    return this.current.map(({ name, length, generation }) => ({
      name,
      length: length - extra,
      generation,
    }));
  }

  cipherOf(directory: Directory): BlobCipher | undefined {
    return this.cipher?.fits(directory) ? this.cipher : undefined;
  }

  entropy(length: number): Uint8Array {
    assert(this.#entropy !== undefined, 'an encrypted store needs entropy');
    return this.#entropy(length);
  }

  entry(name: BlobName): Entry | undefined {
    return this.current.find(entry => entry.name === name);
  }

  /** The blobs of a kept generation. @throws NvramError NOT_KEPT */
  kept(generation: number): readonly Entry[] {
    const { entries } = this.directory;
    const found = stateOf(entries, generation);
    if (found !== undefined) return found;
    const kept = keptGenerations(entries).join(', ') || 'none';
    const why = `generation ${generation} is not kept; kept are: ${kept}`;
    throw new NvramError('NOT_KEPT', this.node.path, [why]);
  }

  /**
   * The bytes of a blob, decrypted.
   * @throws NvramError CORRUPT
   */
  read(disk: LockedNode, entry: Entry): Uint8Array {
    const { name, offset, length, generation, digest } = entry;
    const stored = disk.read(offset, length);
    const where = `blob ${name} at offset ${offset}, ${length} bytes`;
    const corrupt = (why: string) => new NvramError('CORRUPT', disk.path, [`${where}: ${why}`]);
    if (!equal(sha256(stored), digest)) throw corrupt('its digest is wrong');
    if (this.cipher === undefined) return stored;
    const binding = { uuid: this.directory.uuid, name, generation };
    const plain = this.cipher.decrypt(binding, stored);
    if (plain !== undefined) return plain;
    throw corrupt('it was not encrypted for this store, name and generation');
  }

  /** A blob that a commit writes, encrypted if the store is, or by another cipher than now. */
  draft(
    { name, generation, lastGeneration }: Pick<Draft, 'name' | 'generation' | 'lastGeneration'>,
    plain: Uint8Array,
    under: { readonly cipher: BlobCipher | undefined } = this,
  ): Draft {
    const binding = { uuid: this.directory.uuid, name, generation };
    const bytes = under.cipher?.encrypt(binding, plain, length => this.entropy(length)) ?? plain;
    return { name, generation, lastGeneration, bytes };
  }

  /** All blobs, to be written once more, elsewhere. @throws NvramError CORRUPT */
  again(disk: LockedNode): Draft[] {
    return this.directory.entries.map(entry => this.draft(entry, this.read(disk, entry)));
  }

  wipe(): void {
    this.cipher?.wipe();
  }
}
