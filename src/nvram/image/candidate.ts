/**
 * Opening a store: one lock cycle inspects it, formats it if the policy says so, and makes it active.
 * @module
 */
import assert from 'node:assert/strict';
import type { LockedNode } from '../../block/node.js';
import { NvramError } from '../errors.js';
import type { BlobName } from '../store.js';
import { activate } from './activate.js';
import { ActiveStore } from './active.js';
import { writeFormat } from './format.js';
import { type StoredState, statesOf } from './history.js';
import { inspect } from './inspect.js';
import { Keyring } from './keyring.js';
import type { AckState } from './layout.js';
import { Opened, type OpenStoreOptions } from './opened.js';
import { faultOf, type Inspection } from './verdict.js';

/** What an EMPTY disk means to the caller. */
export interface OpenPolicy {
  /**
   * `refuse`: a disk without a TPM is refused, formatted or not. `format`: activate() formats a disk that
   * the image's header proves to be empty. By default a formatted store without a blob is opened, and a
   * disk without a store is refused.
   */
  readonly whenEmpty?: 'refuse' | 'format' | undefined;
}

/**
 * Opens the store on `disk`, and writes nothing.
 * @throws NvramError EMPTY, CORRUPT, KEY_REQUIRED, WRONG_KEY, REVISION, TOO_SMALL; ImageError DAMAGED;
 *   IoError
 */
export function openStore(
  disk: LockedNode,
  options: OpenStoreOptions & OpenPolicy = {},
): Candidate {
  const keys = new Keyring(options.key);
  try {
    const found = inspect(disk, keys, options.trace);
    const fault = faultOf(disk.path, found);
    if (fault !== undefined) throw fault;
    if (found.verdict === 'EMPTY') demandFillable(disk.path, found, options);
    const { state, intact } = found;
    if (state === undefined) return new Candidate(disk, options);
    const cipher = keys.cipherOf(state.directory);
    if (state.directory.encryption.kind !== 0 && cipher === undefined) {
      throw new NvramError('KEY_REQUIRED', disk.path, ['the store is encrypted']);
    }
    keys.wipe(cipher);
    return new Candidate(disk, options, new Opened(disk.node, options, state, cipher), intact);
  } catch (error) {
    keys.wipe();
    throw error;
  }
}

/** @throws NvramError EMPTY */
function demandFillable(path: string, found: Inspection, { whenEmpty }: OpenPolicy): void {
  const refuse = (why: string): never => {
    throw new NvramError('EMPTY', path, [why]);
  };
  if (whenEmpty === 'refuse') refuse('there is no TPM in it');
  if (found.state !== undefined) return;
  if (whenEmpty !== 'format') refuse('there is no store in it');
  if (found.isProvenByHeader) return;
  refuse('there is no store in it, and a raw disk cannot prove that there never was one');
}

/** A store that was validated, valid while the lock is held that it was opened under. */
export class Candidate {
  readonly #disk: LockedNode;
  readonly #options: OpenStoreOptions;
  /** Undefined while the disk is unformatted. */
  readonly #opened: Opened | undefined;
  /** Whether the older generation is undamaged too. */
  readonly #isIntact: boolean;
  #isSpent = false;

  /** @internal */
  constructor(disk: LockedNode, options: OpenStoreOptions, opened?: Opened, isIntact = true) {
    this.#disk = disk;
    this.#options = options;
    this.#opened = opened;
    this.#isIntact = isIntact;
  }

  get path(): string {
    return this.#disk.path;
  }

  /** Undefined while the disk is unformatted. */
  get uuid(): Uint8Array | undefined {
    return this.#opened?.directory.uuid;
  }

  /** 0 while the disk is unformatted. */
  get generation(): number {
    return this.#opened?.directory.generation ?? 0;
  }

  /** The current state and the kept ones, newest first; none while the disk is unformatted. */
  get states(): readonly StoredState[] {
    return this.#opened === undefined ? [] : statesOf(this.#opened.directory);
  }

  /** 0 before the first activation. */
  get epoch(): number {
    return this.#opened?.directory.epoch ?? 0;
  }

  /** Whether no blob was ever stored: only then may a new TPM be made. */
  get pristine(): boolean {
    return (this.#opened?.directory.firstBlobGeneration ?? 0) === 0;
  }

  /** What the acknowledgement record says; undefined before the first one. */
  get ackState(): AckState | undefined {
    return this.#opened?.state.ackRecord?.state;
  }

  /** Whether the store was closed in order, and a repair has nothing to do. */
  get isSettled(): boolean {
    return this.#isIntact && this.ackState !== undefined && this.ackState !== 'open';
  }

  /**
   * The bytes of a blob, the caller's to keep; undefined where there is no such blob.
   * @param generation a kept one; the current one by default
   * @throws NvramError CORRUPT, NOT_KEPT; IoError; LockError NOT_LOCKED
   */
  load(name: BlobName, generation = this.generation): Uint8Array | undefined {
    assert(!this.#isSpent, 'the candidate was activated or discarded');
    const opened = this.#opened;
    if (opened === undefined) return undefined;
    const entries = generation === this.generation ? opened.current : opened.kept(generation);
    const entry = entries.find(each => each.name === name);
    return entry === undefined ? undefined : opened.read(this.#disk, entry);
  }

  /**
   * Makes the caller the one active instance; formats an unformatted disk first. Where it throws, the
   * state on the disk is as good as before, under the old epoch or the new one.
   * @throws NvramError TOO_SMALL, CORRUPT; IoError; LockError NOT_LOCKED
   */
  activate(): ActiveStore {
    assert(!this.#isSpent, 'the candidate was activated or discarded');
    this.#isSpent = true;
    const opened = this.#opened ?? this.#format();
    try {
      activate(this.#disk, opened);
    } catch (error) {
      opened.wipe();
      throw error;
    }
    return new ActiveStore(opened);
  }

  /** Wipes the key, writes nothing. Idempotent, and nothing after activate(). */
  discard(): void {
    if (this.#isSpent) return;
    this.#isSpent = true;
    this.#opened?.wipe();
  }

  #format(): Opened {
    const { entropy, ...options } = this.#options;
    assert(entropy !== undefined, 'formatting needs entropy');
    return writeFormat(this.#disk, { ...options, entropy });
  }
}
