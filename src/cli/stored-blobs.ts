/** The blobs of a store, as data for people and programs. @module */
import { type Directory, ENCRYPTION_EXTRA_BYTES, type Entry, isCurrent } from '../nvram/index.js';
import { toHex } from './values.js';

export interface StoredBlob {
  readonly name: string;
  /** Bytes, as the TPM stored them. */
  readonly size: number;
  /** The generation that stored it. */
  readonly generation: number;
  /** Of the bytes as stored: encrypted, if the store is. */
  readonly sha256: string;
}

export const blobsOf = (
  entries: readonly Entry[],
  { encryption }: Pick<Directory, 'encryption'>,
): StoredBlob[] =>
  entries.map(({ name, length, generation, digest }) => ({
    name,
    size: encryption.kind === 0 ? length : length - ENCRYPTION_EXTRA_BYTES,
    generation,
    sha256: toHex(digest),
  }));

export const currentBlobs = (directory: Directory): StoredBlob[] =>
  blobsOf(directory.entries.filter(isCurrent), directory);
