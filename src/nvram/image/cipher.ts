/**
 * Encryption at rest. With a key, every blob lies on the disk as a NaCl secretbox (XSalsa20-Poly1305)
 * whose plaintext begins with the uuid of the store, the name and the generation of the blob, so that
 * a box from another store, name or time is refused. Every directory has an HMAC-SHA-256 under a key
 * that HKDF (RFC 5869) derives from the same one, so that no older entry, epoch or history passes under
 * a newer generation. A password becomes a key by scrypt (RFC 7914); salt and cost are in the
 * directory.
 * @module
 */
import { createHmac, hkdfSync, scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { concat, equal } from '../../wire/codec.js';
import {
  type Directory,
  ENCRYPTION_KINDS,
  type Encryption,
  MAC_BYTES,
  NAME_BYTES,
  NO_ENCRYPTION,
  UUID_BYTES,
} from './layout.js';

/** What a user opens a store with. */
export type Key =
  | { readonly kind: 'key'; readonly bytes: Uint8Array }
  | { readonly kind: 'password'; readonly bytes: Uint8Array };

/** Random bytes. */
export type Entropy = (length: number) => Uint8Array;

/** The length of a key, in bytes. */
export const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const BINDING_BYTES = UUID_BYTES + NAME_BYTES + 8;
/** How much longer an encrypted blob is. */
export const ENCRYPTION_EXTRA_BYTES = NONCE_BYTES + nacl.secretbox.overheadLength + BINDING_BYTES;

/** scrypt for new passwords: 32 MiB and some tenths of a second. */
const COST = { costLog2: 15, blockSize: 8, parallel: 1 } as const;
/** The most that a directory may demand: 128 MiB. */
const COST_MAX = { costLog2: 17, blockSize: 8, parallel: 4 } as const;

/** Whether opening a store with a password costs no more than COST_MAX. */
export function isAffordable({ kind, ...cost }: Encryption): boolean {
  if (ENCRYPTION_KINDS[kind] !== 'password') return true;
  const parameters = ['costLog2', 'blockSize', 'parallel'] as const;
  return parameters.every(name => cost[name] > 0 && cost[name] <= COST_MAX[name]);
}

/** The key of a store, while it is in use. */
export class BlobCipher {
  readonly #key: Uint8Array;
  readonly #macKey: Uint8Array;

  private constructor(key: Uint8Array) {
    this.#key = key;
    this.#macKey = new Uint8Array(hkdfSync('sha256', key, '', 'nvtpm directory mac', MAC_BYTES));
  }

  /** The cipher that `encryption` asks for, or undefined where the key is of another kind or length. */
  static of(key: Key, encryption: Encryption): BlobCipher | undefined {
    if (ENCRYPTION_KINDS[encryption.kind] !== key.kind || !isAffordable(encryption)) {
      return undefined;
    }
    if (key.kind === 'key') {
      return key.bytes.length === KEY_BYTES ? new BlobCipher(key.bytes.slice()) : undefined;
    }
    const { costLog2, blockSize: r, parallel: p, salt } = encryption;
    const N = 2 ** costLog2;
    const cost = { N, r, p, maxmem: 2 * 128 * N * r };
    return new BlobCipher(new Uint8Array(scryptSync(key.bytes, salt, KEY_BYTES, cost)));
  }

  /** New encryption under `key`: the directory's part of it, and the cipher. */
  static fresh(
    key: Key,
    uuid: Uint8Array,
    entropy: Entropy,
  ): { encryption: Encryption; cipher: BlobCipher } {
    const kind = ENCRYPTION_KINDS.indexOf(key.kind);
    const cost = key.kind === 'password' ? { ...COST, salt: entropy(16) } : {};
    const checkNonce = entropy(NONCE_BYTES);
    const encryption = { ...NO_ENCRYPTION, ...cost, kind, checkNonce };
    const cipher = BlobCipher.of(key, encryption);
    if (cipher === undefined) throw new RangeError(`a key has ${KEY_BYTES} bytes`);
    const check = nacl.secretbox(uuid, checkNonce, cipher.#key);
    return { encryption: { ...encryption, check }, cipher };
  }

  /** Whether this is the key that the store was encrypted with. */
  fits({ uuid, encryption }: Pick<Directory, 'uuid' | 'encryption'>): boolean {
    const opened = nacl.secretbox.open(encryption.check, encryption.checkNonce, this.#key);
    return opened !== null && equal(opened, uuid);
  }

  /** A blob as it is stored. */
  encrypt(binding: Binding, plain: Uint8Array, entropy: Entropy): Uint8Array {
    const nonce = entropy(NONCE_BYTES);
    const message = concat(bindingBytes(binding), plain);
    const box = nacl.secretbox(message, nonce, this.#key);
    message.fill(0);
    return concat(nonce, box);
  }

  /** The blob that was stored, or undefined where it was not encrypted by this cipher for `binding`. */
  decrypt(binding: Binding, stored: Uint8Array): Uint8Array | undefined {
    if (stored.length < ENCRYPTION_EXTRA_BYTES) return undefined;
    const nonce = stored.subarray(0, NONCE_BYTES);
    const message = nacl.secretbox.open(stored.subarray(NONCE_BYTES), nonce, this.#key);
    if (message === null) return undefined;
    const bound = equal(message.subarray(0, BINDING_BYTES), bindingBytes(binding));
    const plain = bound ? message.slice(BINDING_BYTES) : undefined;
    message.fill(0);
    return plain;
  }

  /** The MAC of a directory's page. */
  mac(page: Uint8Array): Uint8Array {
    return new Uint8Array(createHmac('sha256', this.#macKey).update(page).digest());
  }

  wipe(): void {
    this.#key.fill(0);
    this.#macKey.fill(0);
  }
}

/** Where a blob belongs. */
export interface Binding {
  readonly uuid: Uint8Array;
  readonly name: string;
  readonly generation: number;
}

function bindingBytes({ uuid, name, generation }: Binding): Uint8Array {
  const bytes = new Uint8Array(BINDING_BYTES);
  bytes.set(uuid);
  bytes.set(new TextEncoder().encode(name), UUID_BYTES);
  new DataView(bytes.buffer).setBigUint64(UUID_BYTES + NAME_BYTES, BigInt(generation));
  return bytes;
}
