/**
 * A folder with one file for each blob, in swtpm's wrapper: swtpm's state directory, and what
 * `swtpm_ioctl --save` writes.
 * @module
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Entropy } from '../image/cipher.js';
import type { BlobName, BlobStore, Changes, StoreAbilities } from '../store.js';
import { type SwtpmKeys, unwrapBlob, wrapBlob } from './blob.js';
import { deleteDurably, readWhole, writeDurably } from './files.js';
import { demandSwtpmChanges, SWTPM_BLOBS, swtpmBlobOf, WRAPPED_BYTES_MAX } from './names.js';

/** How the files of a folder are named and written. */
export interface FolderForm {
  readonly fileOf: (blob: (typeof SWTPM_BLOBS)[number]) => string;
  readonly wrapper: 'stored' | 'migrated';
  /** An empty file says that there is no such blob. */
  readonly isEmptyAbsent: boolean;
}

export interface SwtpmOptions {
  readonly keys?: SwtpmKeys | undefined;
  /** For IVs. */
  readonly entropy: Entropy;
}

const ABILITIES: StoreAbilities = {
  fencing: false,
  atomicChanges: false,
  history: false,
  handOver: false,
};

/** Blobs as files of a folder. */
export class SwtpmFolder implements BlobStore {
  readonly path: string;
  readonly can = ABILITIES;
  readonly #form: FolderForm;
  readonly #options: SwtpmOptions;
  readonly #release: () => void;
  #isClosed = false;

  /** @param release called when it is closed */
  constructor(path: string, form: FolderForm, options: SwtpmOptions, release = () => {}) {
    this.path = path;
    this.#form = form;
    this.#options = options;
    this.#release = release;
  }

  /** Whether none of the files is there. */
  get pristine(): boolean {
    return !this.files.some(path => existsSync(path));
  }

  /** The files that commit() replaces. */
  get files(): readonly string[] {
    return SWTPM_BLOBS.map(blob => join(this.path, this.#form.fileOf(blob)));
  }

  /** @throws SwtpmError MALFORMED, REVISION, KEY_REQUIRED, WRONG_KEY; NvramError INVALID_NAME; IoError */
  load(name: BlobName): Uint8Array | undefined {
    const path = this.#pathOf(name);
    const wrapped = readWhole(path, WRAPPED_BYTES_MAX);
    if (wrapped === undefined || (wrapped.length === 0 && this.#form.isEmptyAbsent)) {
      return undefined;
    }
    return unwrapBlob(path, wrapped, this.#options.keys ?? {});
  }

  /**
   * One file after another: deletions first, then the permanent state, so that no cut leaves a
   * volatile or saved state beside a permanent one that it is not of.
   * @throws NvramError INVALID_NAME, TOO_SMALL; IoError
   */
  commit(changes: Changes): void {
    demandSwtpmChanges(this.path, changes);
    const given = SWTPM_BLOBS.flatMap(({ name }) => {
      const bytes = changes.get(name);
      return bytes === undefined ? [] : [{ path: this.#pathOf(name), bytes }];
    });
    for (const { path, bytes } of given) if (bytes === null) deleteDurably(path);
    const { keys = {}, entropy } = this.#options;
    for (const { path, bytes } of given) {
      if (bytes === null) continue;
      writeDurably(path, wrapBlob(bytes, this.#form.wrapper, keys, entropy));
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release();
  }

  abandon(): void {
    this.close();
  }

  #pathOf(name: BlobName): string {
    assert(!this.#isClosed, 'the store is closed');
    return join(this.path, this.#form.fileOf(swtpmBlobOf(this.path, name)));
  }
}
