/**
 * Edits the directories of a store in an image, and makes their unkeyed digests right again: what an
 * attacker without the key can do. Offsets are those of docs/on-disk.md.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Qcow2Map } from '../../../lab/qcow2-map.js';

const PAGE_BYTES = 4096;
/** Where the slots are on the guest's disk. */
const SLOTS = [0, 0x1_0000] as const;
const DIGEST = { offset: 16, length: 32 };
const ENTRIES = { offset: 256, each: 80 };

/** Fields of a directory: offset and width in bytes. */
// biome-ignore format: table
export const FIELD = {
  revision:            [  8, 4],
  entryCount:          [ 12, 4],
  generation:          [ 64, 8],
  epoch:               [ 72, 8],
  firstBlobGeneration: [ 80, 8],
  areaLength:          [ 88, 8],
  blobLimit:           [ 96, 4],
  historyLength:       [100, 2],
  unscrubbed:          [102, 1],
} as const;
/** Fields of an entry; the rest of its 80 bytes are the name in front and the digest behind. */
// biome-ignore format: table
export const ENTRY = {
  offset:              [ 16, 8],
  length:              [ 24, 8],
  generation:          [ 32, 8],
  lastGeneration:      [ 40, 8],
} as const;
export type Place = readonly [offset: number, width: number];

/** A structure with numbers in it, big-endian. */
class Fields {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get([offset, width]: Place): number {
    return width === 8
      ? Number(this.bytes.readBigUInt64BE(offset))
      : this.bytes.readUIntBE(offset, width);
  }

  set([offset, width]: Place, value: number): void {
    if (width === 8) this.bytes.writeBigUInt64BE(BigInt(value), offset);
    else this.bytes.writeUIntBE(value, offset, width);
  }
}

export class DirectoryPage extends Fields {
  /** The current entry of a blob: 80 bytes. */
  entry(name: string): Fields | undefined {
    return Array.from({ length: this.get(FIELD.entryCount) }, (_, index) => {
      const at = ENTRIES.offset + index * ENTRIES.each;
      return new Fields(this.bytes.subarray(at, at + ENTRIES.each));
    }).find(
      each =>
        each.bytes.toString('latin1', 0, 16).replace(/\0+$/, '') === name &&
        each.get(ENTRY.lastGeneration) === 0,
    );
  }
}

/** The store of an image file that is closed. */
export class Forgery {
  readonly #path: string;
  readonly #bytes: Buffer;
  readonly #map: Qcow2Map;

  constructor(path: string) {
    this.#path = path;
    this.#bytes = readFileSync(path);
    this.#map = new Qcow2Map(this.#bytes);
  }

  /** Both directories, newest first; views of the file's bytes. */
  get directories(): DirectoryPage[] {
    return SLOTS.map(slot => new DirectoryPage(this.guest(slot, PAGE_BYTES))).sort(
      (one, other) => other.get(FIELD.generation) - one.get(FIELD.generation),
    );
  }

  /** Bytes of the guest's disk, as a view of the file's bytes; within one cluster. */
  guest(offset: number, length: number): Buffer {
    const at = this.#map.hostOf(offset)!;
    return this.#bytes.subarray(at, at + length);
  }

  /** A blob as it is stored, and its entry in the newest directory. */
  blob(name: string): { readonly entry: Buffer; readonly box: Buffer } {
    const entry = this.directories[0]!.entry(name)!;
    const box = this.guest(entry.get(ENTRY.offset), entry.get(ENTRY.length));
    return { entry: Buffer.from(entry.bytes), box: Buffer.from(box) };
  }

  /** Changes both directories and writes the file, with digests that fit. */
  forge(change: (directory: DirectoryPage) => void): void {
    for (const directory of this.directories) {
      change(directory);
      const digest = directory.bytes.subarray(DIGEST.offset, DIGEST.offset + DIGEST.length);
      digest.fill(0);
      digest.set(createHash('sha256').update(directory.bytes).digest());
    }
    writeFileSync(this.#path, this.#bytes);
  }
}
