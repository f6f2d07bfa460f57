/**
 * The guest's side of an image: its bytes, wherever they lie. Reads follow the mapping; writes go in
 * place where a cluster is ours alone, else into clusters that are allocated for them.
 * @module
 */
import { concat } from '../../wire/codec.js';
import { type BlockNode, ImageError, type LockedNode } from '../node.js';
import { inflateCluster } from './compressed.js';
import { dataEntry, type Mapping, zeroEntry } from './entries.js';
import { isOverlay } from './header.js';
import type { Image } from './image.js';
import type { Mapper } from './mapping.js';
import type { Refcounts, Run } from './refcounts.js';

/** A piece of guest bytes that has one kind of mapping, of clusters in a row. */
interface Piece {
  /** The mapping of the first cluster. */
  readonly mapping: Mapping;
  readonly from: number;
  to: number;
  /** How far into its cluster `from` lies. */
  readonly into: number;
}

export class GuestDisk {
  readonly #image: Image;
  readonly #refcounts: Refcounts;
  readonly #mapper: Mapper;
  readonly #backing: BlockNode | undefined;
  #lockedBacking: LockedNode | undefined;
  /** The last compressed cluster that was read: small reads come in a row. */
  #inflated: { readonly offset: number; readonly bytes: Uint8Array } | undefined;

  constructor(image: Image, refcounts: Refcounts, mapper: Mapper, backing: BlockNode | undefined) {
    this.#image = image;
    this.#refcounts = refcounts;
    this.#mapper = mapper;
    this.#backing = backing;
  }

  /** The length of the backing disk; 0 without one. */
  get backingLength(): number {
    if (this.#backing === undefined) return 0;
    this.#lockedBacking ??= this.#backing.lock();
    return this.#lockedBacking.length;
  }

  forget(): void {
    this.#inflated = undefined;
    this.#lockedBacking?.release();
    this.#lockedBacking = undefined;
  }

  read(offset: number, length: number): Uint8Array {
    let bytes: Uint8Array | undefined;
    for (const piece of this.#pieces(offset, length)) {
      const part = this.#readPiece(piece);
      // Most reads are one piece of data: its bytes are the caller's as they are.
      if (part?.length === length && piece.mapping.kind === 'data') return part;
      bytes ??= new Uint8Array(length);
      if (part !== undefined) bytes.set(part, piece.from - offset);
    }
    return bytes ?? new Uint8Array(length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#inflated = undefined;
    for (const piece of this.#pieces(offset, bytes.length)) {
      const part = bytes.subarray(piece.from - offset, piece.to - offset);
      const { mapping } = piece;
      if (mapping.kind === 'data' && mapping.copied) {
        const at = mapping.offset + piece.into;
        this.#image.overlap.check('guest data', at, part.length);
        this.#image.host.write(at, part);
      } else {
        this.#writeElsewhere(piece, part);
      }
    }
  }

  /** Makes guest bytes zeros, by the mapping alone where whole clusters allow that. */
  writeZeroes(offset: number, length: number): void {
    this.#inflated = undefined;
    const { clusterSize } = this.#image.geometry;
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const next = Math.min(end, at - (at % clusterSize) + clusterSize);
      // The last cluster may reach past the end of the disk: then it counts as whole.
      const whole = at % clusterSize === 0 && (next % clusterSize === 0 || next === this.#size);
      if (whole && this.#image.header.version >= 3) this.#zeroCluster(at / clusterSize);
      else this.write(at, new Uint8Array(next - at));
      at = next;
    }
  }

  /** Sets clusters aside for guest bytes that have none. They are to read as zeros there. */
  preallocate(offset: number, length: number): void {
    const { clusterSize } = this.#image.geometry;
    for (const piece of this.#pieces(offset, length)) {
      if (piece.mapping.kind !== 'unallocated') continue;
      const end = Math.ceil(piece.to / clusterSize);
      for (let cluster = Math.floor(piece.from / clusterSize); cluster < end; ) {
        const { first, count } = this.#refcounts.allocate(end - cluster, 'guest data');
        const start = first * clusterSize;
        if (this.#image.host.isBlank(start)) this.#image.host.reserve(start + count * clusterSize);
        else this.#image.host.write(start, new Uint8Array(count * clusterSize));
        for (let i = 0; i < count; i += 1) {
          this.#mapper.set(cluster + i, dataEntry(start + i * clusterSize));
        }
        cluster += count;
      }
    }
  }

  #zeroCluster(cluster: number): void {
    const mapping = this.#mapper.lookup(cluster);
    if (mapping.kind === 'zero') return;
    if (mapping.kind === 'unallocated' && !isOverlay(this.#image.header)) return;
    const kept = mapping.kind === 'data' && mapping.copied ? mapping.offset : undefined;
    this.#mapper.set(cluster, zeroEntry(kept));
    if (kept === undefined) this.#letGo(mapping, 0);
  }

  get #size(): number {
    return this.#image.header.size;
  }

  /** The bytes of a piece, or undefined where they are all zeros. */
  #readPiece({ mapping, from, to, into }: Piece): Uint8Array | undefined {
    switch (mapping.kind) {
      case 'data':
        return this.#image.host.read(mapping.offset + into, to - from);
      case 'compressed':
        return this.#inflate(mapping, from).subarray(into, into + to - from);
      case 'unallocated':
        return this.#readBacking(from, to - from);
      case 'zero':
        return undefined;
    }
  }

  /** What shows through from below; past the end of a shorter disk there are zeros. */
  #readBacking(offset: number, length: number): Uint8Array | undefined {
    const backing = this.#backing;
    if (backing === undefined) {
      if (!isOverlay(this.#image.header)) return undefined;
      throw new ImageError('UNSUPPORTED', this.#image.path, [
        'these bytes are in the backing file, which was not opened with the image',
      ]);
    }
    this.#lockedBacking ??= backing.lock();
    const there = Math.min(length, this.#lockedBacking.length - offset);
    return there > 0 ? this.#lockedBacking.read(offset, there) : undefined;
  }

  #inflate(mapping: Mapping & { kind: 'compressed' }, guestOffset: number): Uint8Array {
    const { offset, length } = mapping;
    if (this.#inflated?.offset === offset) return this.#inflated.bytes;
    const { path, host, header, geometry } = this.#image;
    const packed = host.read(offset, length);
    try {
      const bytes = inflateCluster(header.compressionType, packed, geometry.clusterSize);
      this.#inflated = { offset, bytes };
      return bytes;
    } catch (error) {
      throw new ImageError('DAMAGED', path, [
        `the compressed cluster of guest offset 0x${guestOffset.toString(16)} cannot be unpacked ` +
          `(${error instanceof Error ? error.message : String(error)})`,
      ]);
    }
  }

  /** Writes a piece whose clusters cannot take it in place: into new clusters, as far as they go. */
  #writeElsewhere(piece: Piece, part: Uint8Array): void {
    const { clusterSize } = this.#image.geometry;
    const { mapping } = piece;
    for (let at = piece.from; at < piece.to; ) {
      const cluster = Math.floor(at / clusterSize);
      const skipped = cluster - Math.floor(piece.from / clusterSize);
      const left = Math.ceil(piece.to / clusterSize) - cluster;
      const setAside = mapping.kind === 'zero' && mapping.offset !== 0 && mapping.copied;
      const room = setAside
        ? { first: mapping.offset / clusterSize + skipped, count: left }
        : this.#refcounts.allocate(left, 'guest data');
      const to = Math.min(piece.to, (cluster + room.count) * clusterSize);
      const bytes = part.subarray(at - piece.from, to - piece.from);
      if (setAside) {
        this.#image.overlap.check('guest data', room.first * clusterSize, left * clusterSize);
        this.#fill(room, at, bytes, false);
      } else {
        this.#fillNew(room, at, bytes, mapping);
      }
      for (let i = 0; i < room.count; i += 1) {
        this.#mapper.set(cluster + i, dataEntry((room.first + i) * clusterSize));
        if (!setAside) this.#letGo(mapping, skipped + i);
      }
      at = to;
    }
  }

  /** Lowers the refcounts of what the cluster `index` clusters into a piece was mapped to. */
  #letGo(mapping: Mapping, index: number): void {
    const { clusterSize } = this.#image.geometry;
    if (mapping.kind === 'compressed') {
      const last = Math.floor((mapping.offset + mapping.length - 1) / clusterSize);
      const first = Math.floor(mapping.offset / clusterSize);
      for (let cluster = first; cluster <= last; cluster += 1) {
        this.#refcounts.releaseLater(cluster);
      }
    } else if (mapping.kind !== 'unallocated' && mapping.offset !== 0) {
      this.#refcounts.releaseLater(mapping.offset / clusterSize + index);
    }
  }

  #fillNew(room: Run, at: number, part: Uint8Array, before: Mapping): void {
    const { host, geometry } = this.#image;
    const start = room.first * geometry.clusterSize;
    const wasZeros =
      before.kind === 'zero' || (before.kind === 'unallocated' && !isOverlay(this.#image.header));
    try {
      if (wasZeros && host.isBlank(start)) {
        host.reserve(start + room.count * geometry.clusterSize);
        host.write(start + (at % geometry.clusterSize), part);
      } else {
        this.#fill(room, at, part, true);
      }
    } catch (error) {
      this.#refcounts.release(room);
      throw error;
    }
  }

  /** Writes `part` into `room`, and around it what the guest saw there before. */
  #fill(room: Run, at: number, part: Uint8Array, isNew: boolean): void {
    const { clusterSize } = this.#image.geometry;
    const before = at % clusterSize;
    const after = room.count * clusterSize - before - part.length;
    const head = this.#readPadded(at - before, before);
    const tail = this.#readPadded(at + part.length, after);
    const whole = before + after === 0 ? part : concat(head, part, tail);
    const offset = room.first * clusterSize;
    if (isNew) this.#image.host.reserve(offset + whole.length);
    this.#image.host.write(offset, whole);
  }

  /** Guest bytes, zeros past the end of the disk: the last cluster may reach beyond it. */
  #readPadded(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const there = Math.min(length, this.#size - offset);
    if (there > 0) bytes.set(this.read(offset, there));
    return bytes;
  }

  /**
   * The guest bytes from `offset` on, cut where the mapping changes its kind or the clusters are
   * not next to each other in the file.
   */
  *#pieces(offset: number, length: number): Generator<Piece> {
    const { clusterSize } = this.#image.geometry;
    const end = offset + length;
    let piece: Piece | undefined;
    for (let at = offset; at < end; ) {
      const into = at % clusterSize;
      const next = Math.min(end, at - into + clusterSize);
      const mapping = this.#mapper.lookup(Math.floor(at / clusterSize));
      if (piece !== undefined && continues(piece, mapping, at)) {
        piece.to = next;
      } else {
        if (piece !== undefined) yield piece;
        piece = { mapping, from: at, to: next, into };
      }
      at = next;
    }
    if (piece !== undefined) yield piece;
  }
}

/** Whether the cluster at guest offset `at` with this mapping is the next one of the piece. */
function continues(piece: Piece, mapping: Mapping, at: number): boolean {
  const first = piece.mapping;
  if (first.kind === 'compressed' || mapping.kind === 'compressed') return false;
  if (first.kind === 'unallocated' || mapping.kind === 'unallocated') {
    return first.kind === mapping.kind;
  }
  if (first.kind !== mapping.kind || first.copied !== mapping.copied) return false;
  if (first.offset === 0) return mapping.offset === 0;
  return mapping.offset === first.offset + (at - (piece.from - piece.into));
}
