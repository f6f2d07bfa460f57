/**
 * The key that a caller gives, as the cipher of each directory: the two slots may be under different
 * keys while a change of the key is being completed. scrypt is slow, so each salt is derived once.
 * @module
 */

import { equal } from '../../wire/codec.js';
import { BlobCipher, type Key } from './cipher.js';
import type { Directory, Encryption } from './layout.js';

/** What reading a directory needs of a key. */
export interface Keys {
  /** The cipher of an encrypted directory; undefined without a key, or with another one's. */
  cipherOf(directory: Directory): BlobCipher | undefined;
}

export class Keyring implements Keys {
  readonly #key: Key | undefined;
  readonly #known: { readonly encryption: Encryption; readonly cipher: BlobCipher }[] = [];

  constructor(key: Key | undefined) {
    this.#key = key;
  }

  /** Whether a key was given. */
  get hasKey(): boolean {
    return this.#key !== undefined;
  }

  cipherOf(directory: Directory): BlobCipher | undefined {
    if (this.#key === undefined || directory.encryption.kind === 0) return undefined;
    const cipher = this.#derive(this.#key, directory.encryption);
    return cipher?.fits(directory) ? cipher : undefined;
  }

  /** Wipes every cipher but `kept`. */
  wipe(kept?: BlobCipher): void {
    for (const { cipher } of this.#known) if (cipher !== kept) cipher.wipe();
  }

  #derive(key: Key, encryption: Encryption): BlobCipher | undefined {
    const known = this.#known.find(each => isSame(each.encryption, encryption));
    if (known !== undefined) return known.cipher;
    const cipher = BlobCipher.of(key, encryption);
    if (cipher !== undefined) this.#known.push({ encryption, cipher });
    return cipher;
  }
}

/** Whether one derivation serves both. */
const isSame = (a: Encryption, b: Encryption): boolean =>
  a.kind === b.kind &&
  a.costLog2 === b.costLog2 &&
  a.blockSize === b.blockSize &&
  a.parallel === b.parallel &&
  equal(a.salt, b.salt);
