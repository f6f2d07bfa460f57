/**
 * Sealing: with a key, every blob lies on the disk as a NaCl secretbox (XSalsa20-Poly1305). Its
 * plaintext begins with the uuid of the store, the name and the generation of the blob, so that a box
 * that was moved from elsewhere, or from another time, does not pass. A password becomes a key by
 * scrypt (RFC 7914), whose salt and cost stand in the directory.
 * @module
 */
import { scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { concat, equal } from '../wire/codec.js';
import { type Directory, SEALING_KINDS, type Sealing, UNSEALED } from './layout.js';

/** What a user opens a store with. */
export type Key =
  | { readonly kind: 'key'; readonly bytes: Uint8Array }
  | { readonly kind: 'password'; readonly bytes: Uint8Array };

/** The length of a key, in bytes. */
export const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const UUID_BYTES = 16;
const NAME_BYTES = 16;
const BINDING_BYTES = UUID_BYTES + NAME_BYTES + 8;
/** How much longer a blob is when it is sealed. */
export const SEALED_EXTRA_BYTES = NONCE_BYTES + nacl.secretbox.overheadLength + BINDING_BYTES;

/** scrypt for new passwords: 32 MiB and some tenths of a second. */
const COST = { costLog2: 15, blockSize: 8, parallel: 1 } as const;
/** The most that a directory may ask of us: 128 MiB. */
const COST_MAX = { costLog2: 17, blockSize: 8, parallel: 4 } as const;

type Entropy = (length: number) => Uint8Array;

/** The key of a store, while it is in use. */
export class Seal {
  readonly #key: Uint8Array;

  private constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** The key as `sealing` wants it, or undefined where it is of another kind, or costs too much. */
  static of(key: Key, sealing: Sealing): Seal | undefined {
    if (SEALING_KINDS[sealing.kind] !== key.kind) return undefined;
    if (key.kind === 'key') {
      return key.bytes.length === KEY_BYTES ? new Seal(key.bytes.slice()) : undefined;
    }
    const { costLog2, blockSize, parallel, salt } = sealing;
    const affordable =
      costLog2 <= COST_MAX.costLog2 &&
      blockSize <= COST_MAX.blockSize &&
      parallel <= COST_MAX.parallel;
    if (!affordable || costLog2 === 0 || blockSize === 0 || parallel === 0) return undefined;
    const N = 2 ** costLog2;
    const derived = scryptSync(key.bytes, salt, KEY_BYTES, {
      N,
      r: blockSize,
      p: parallel,
      maxmem: 2 * 128 * N * blockSize,
    });
    return new Seal(new Uint8Array(derived));
  }

  /** Sealing anew under `key`: the directory's part of it, and the seal. */
  static fresh(key: Key, uuid: Uint8Array, entropy: Entropy): { sealing: Sealing; seal: Seal } {
    const kind = SEALING_KINDS.indexOf(key.kind);
    const cost = key.kind === 'password' ? { ...COST, salt: entropy(16) } : {};
    const checkNonce = entropy(NONCE_BYTES);
    const sealing = { ...UNSEALED, ...cost, kind, checkNonce };
    const seal = Seal.of(key, sealing);
    if (seal === undefined) throw new RangeError(`a key has ${KEY_BYTES} bytes`);
    return { sealing: { ...sealing, check: nacl.secretbox(uuid, checkNonce, seal.#key) }, seal };
  }

  /** Whether this is the key that the store was sealed with. */
  fits({ uuid, sealing }: Directory): boolean {
    const opened = nacl.secretbox.open(sealing.check, sealing.checkNonce, this.#key);
    return opened !== null && equal(opened, uuid);
  }

  /** A blob as it is stored. The plaintext is wiped where it was copied to. */
  seal(binding: Binding, plain: Uint8Array, entropy: Entropy): Uint8Array {
    const nonce = entropy(NONCE_BYTES);
    const message = concat(bindingBytes(binding), plain);
    const box = nacl.secretbox(message, nonce, this.#key);
    message.fill(0);
    return concat(nonce, box);
  }

  /** The blob that was stored, or undefined where it is not what was sealed there. */
  open(binding: Binding, stored: Uint8Array): Uint8Array | undefined {
    if (stored.length < SEALED_EXTRA_BYTES) return undefined;
    const nonce = stored.subarray(0, NONCE_BYTES);
    const message = nacl.secretbox.open(stored.subarray(NONCE_BYTES), nonce, this.#key);
    if (message === null) return undefined;
    const bound = equal(message.subarray(0, BINDING_BYTES), bindingBytes(binding));
    const plain = bound ? message.slice(BINDING_BYTES) : undefined;
    message.fill(0);
    return plain;
  }

  wipe(): void {
    this.#key.fill(0);
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
