/**
 * swtpm's linear store (`--tpmstate backend-uri=file://…`): one file, or a block device, for all blobs.
 * swtpm writes it in place; here it is replaced as a whole, so that no cut leaves half of it. swtpm
 * 0.7.1 does not lock it.
 * @module
 */
import assert from 'node:assert/strict';
import { lstatSync, type Stats } from 'node:fs';
import type { BlobName, BlobStore, Changes, StoreAbilities } from '../store.js';
import { unwrapBlob, wrapBlob } from './blob.js';
import { SwtpmError } from './errors.js';
import { io, type OpenState, withFile, writeDurably } from './files.js';
import type { SwtpmOptions } from './folder.js';
import { encodeLinear, LINEAR_HEADER_BYTES, readLinearHeader, type Slot } from './linear-header.js';
import { demandSwtpmChanges, SWTPM_BLOBS, swtpmBlobOf, WRAPPED_BYTES_MAX } from './names.js';

const ABILITIES: StoreAbilities = {
  fencing: false,
  atomicChanges: true,
  history: false,
  handOver: false,
};

export class SwtpmLinear implements BlobStore {
  readonly path: string;
  readonly can = ABILITIES;
  readonly #options: SwtpmOptions;
  #isClosed = false;

  constructor(path: string, options: SwtpmOptions) {
    this.path = path;
    this.#options = options;
  }

  /** Whether there is nothing at the path. */
  get pristine(): boolean {
    return this.#stats() === undefined;
  }

  /** @throws SwtpmError MALFORMED, REVISION, KEY_REQUIRED, WRONG_KEY; NvramError INVALID_NAME; IoError */
  load(name: BlobName): Uint8Array | undefined {
    assert(!this.#isClosed, 'the store is closed');
    const number = SWTPM_BLOBS.indexOf(swtpmBlobOf(this.path, name));
    const wrapped = this.#wrapped().get(number);
    if (wrapped === undefined) return undefined;
    return unwrapBlob(`${this.path} (${name})`, wrapped, this.#options.keys ?? {});
  }

  /**
   * All changes or none. A file that is no linear store is left as it is.
   * @throws SwtpmError MALFORMED, REVISION, UNSUPPORTED; NvramError INVALID_NAME, TOO_SMALL; IoError
   */
  commit(changes: Changes): void {
    assert(!this.#isClosed, 'the store is closed');
    demandSwtpmChanges(this.path, changes);
    const { keys = {}, entropy } = this.#options;
    const blobs = new Map(this.#wrapped());
    for (const [name, bytes] of changes) {
      const number = SWTPM_BLOBS.indexOf(swtpmBlobOf(this.path, name));
      if (bytes === null) blobs.delete(number);
      else blobs.set(number, wrapBlob(bytes, 'stored', keys, entropy));
    }
    this.#demandReplaceable();
    writeDurably(this.path, encodeLinear(blobs));
  }

  /** The files that commit() replaces. */
  get files(): readonly string[] {
    return [this.path];
  }

  close(): void {
    this.#isClosed = true;
  }

  abandon(): void {
    this.#isClosed = true;
  }

  /** A rename replaces a device or a symbolic link by a file. @throws SwtpmError UNSUPPORTED */
  #demandReplaceable(): void {
    if (this.#stats()?.isFile() ?? true) return;
    throw new SwtpmError('UNSUPPORTED', this.path, 'only a file can be replaced');
  }

  #stats(): Stats | undefined {
    return io('use', this.path, () => lstatSync(this.path, { throwIfNoEntry: false }));
  }

  /** The blobs in swtpm's wrapper, by slot. */
  #wrapped(): ReadonlyMap<number, Uint8Array> {
    return withFile(this.path, file => blobsIn(file)) ?? new Map();
  }
}

function blobsIn(file: OpenState): ReadonlyMap<number, Uint8Array> {
  const { path, stats, read } = file;
  const size = stats.isFile() ? stats.size : undefined;
  const slots = readLinearHeader(path, read(0, LINEAR_HEADER_BYTES), size);
  return new Map([...slots].map(([number, slot]) => [number, bytesOf(number, slot, file)]));
}

function bytesOf(number: number, { offset, length }: Slot, { path, read }: OpenState): Uint8Array {
  if (length > WRAPPED_BYTES_MAX) {
    const why = `slot ${number} has ${length} bytes, more than a state has (${WRAPPED_BYTES_MAX})`;
    throw new SwtpmError('MALFORMED', path, why);
  }
  const bytes = read(offset, length);
  if (bytes.length === length) return bytes;
  const why = `slot ${number} ends at ${offset + length}, and there are ${offset + bytes.length} bytes`;
  throw new SwtpmError('MALFORMED', path, why);
}
