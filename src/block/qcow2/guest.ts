/**
 * The guest's side of an image: its bytes, wherever they lie. Reads follow the mapping; writes go in
 * place where a cluster has no other reference, else into clusters that are allocated for them.
 * @module
 */
import { concat } from '../../wire/codec.js';
import { ImageError, type LockedNode } from '../node.js';
import { inflateCluster } from './compressed.js';
import { dataEntry, isPlaced, type Mapping, zeroEntry } from './entries.js';
import { isOverlay } from './header.js';
import type { Mapper } from './mapping.js';
import type { Overlap } from './overlap.js';
import { clustersOf, type Piece, pieces } from './pieces.js';
import type { Refcounts } from './refcounts.js';
import { hex } from './text.js';
import {
  type GuestCluster,
  type GuestOffset,
  guestOffset,
  type HostOffset,
  plus,
  type Run,
} from './units.js';
import type { View } from './view.js';

/** How much is copied or zeroed at once. */
const STEP_BYTES = 2 ** 20;

export class GuestDisk {
  readonly #view: View;
  readonly #refcounts: Refcounts;
  readonly #mapper: Mapper;
  readonly #overlap: Overlap;
  readonly #backing: LockedNode | undefined;
  /** The last compressed cluster that was read: small reads come in a row. */
  #inflated: { readonly offset: HostOffset; readonly bytes: Uint8Array } | undefined;

  constructor(
    view: View,
    refcounts: Refcounts,
    mapper: Mapper,
    overlap: Overlap,
    backing: LockedNode | undefined,
  ) {
    this.#view = view;
    this.#refcounts = refcounts;
    this.#mapper = mapper;
    this.#overlap = overlap;
    this.#backing = backing;
  }

  read(offset: GuestOffset, length: number): Uint8Array {
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

  write(offset: GuestOffset, bytes: Uint8Array): void {
    this.#inflated = undefined;
    for (const piece of this.#pieces(offset, bytes.length)) {
      const part = bytes.subarray(piece.from - offset, piece.to - offset);
      if (isOwn(piece.mapping)) {
        const at = plus(piece.mapping.offset, piece.into);
        this.#overlap.check('guest data', at, part.length);
        this.#view.host.write(at, part);
      } else {
        this.#writeElsewhere(piece, part);
      }
    }
  }

  /** Makes guest bytes zeros, by the mapping alone where whole clusters allow that. */
  writeZeroes(offset: GuestOffset, length: number): void {
    this.#inflated = undefined;
    const { geometry, header } = this.#view;
    const end = plus(offset, length);
    for (let at = offset; at < end; ) {
      const cluster = geometry.guestClusterAt(at);
      const mapping = this.#mapper.lookup(cluster);
      const isUnallocated = mapping.kind === 'unallocated';
      const count = isUnallocated ? this.#mapper.unallocatedFrom(cluster) : 1;
      const next = guestOffset(Math.min(end, geometry.guestStartOf(plus(cluster, count))));
      if (mapping.kind === 'zero' || (isUnallocated && !this.#showsBacking(at))) {
        at = next;
        continue;
      }
      const to = guestOffset(Math.min(end, geometry.guestStartOf(plus(cluster, 1))));
      // The last cluster may reach past the end of the disk: then it counts as whole.
      const ends = geometry.into(to) === 0 || to >= header.size;
      if (geometry.into(at) === 0 && ends && header.version >= 3) this.#zero(cluster, mapping);
      else this.write(at, new Uint8Array(to - at));
      at = to;
    }
  }

  /** Whether all of these bytes have clusters that are written in place. */
  isAllocated(offset: GuestOffset, length: number): boolean {
    for (const { mapping } of this.#pieces(offset, length)) if (!isOwn(mapping)) return false;
    return true;
  }

  /** Allocates clusters for guest bytes that cannot be written in place, with the bytes that they show. */
  allocate(offset: GuestOffset, length: number): void {
    this.#inflated = undefined;
    for (const piece of this.#pieces(offset, length)) {
      if (isOwn(piece.mapping)) continue;
      if (this.#isZeros(piece)) this.#writeElsewhere(piece, undefined);
      else this.#copyElsewhere(piece);
    }
  }

  #copyElsewhere({ from, to }: Piece): void {
    const step = Math.max(STEP_BYTES, this.#view.geometry.clusterSize);
    for (let at = from; at < to; ) {
      const length = Math.min(to - at, step - (at % step));
      for (const part of this.#pieces(at, length)) {
        this.#writeElsewhere(part, this.read(part.from, part.to - part.from));
      }
      at = plus(at, length);
    }
  }

  #pieces(offset: GuestOffset, length: number): Generator<Piece> {
    return pieces(this.#view, this.#mapper, offset, length);
  }

  #zero(cluster: GuestCluster, mapping: Mapping): void {
    const kept = isOwn(mapping) ? mapping.offset : undefined;
    this.#mapper.set(cluster, zeroEntry(kept));
    if (kept === undefined) this.#refcounts.releaseLater(this.#placeOf(mapping, 0));
  }

  /** Whether unallocated bytes from `offset` on show anything of the backing file. */
  #showsBacking(offset: GuestOffset): boolean {
    if (!isOverlay(this.#view.header)) return false;
    return this.#backing === undefined || offset < this.#backing.length;
  }

  /** Whether the mapping alone says that the clusters of a piece are zeros. */
  #isZeros({ mapping, from, into }: Piece): boolean {
    if (mapping.kind === 'unallocated') return !this.#showsBacking(plus(from, -into));
    return mapping.kind === 'zero';
  }

  /** The bytes of a piece, or undefined where they are all zeros; fewer past the end of a backing file. */
  #readPiece({ mapping, from, to, into }: Piece): Uint8Array | undefined {
    switch (mapping.kind) {
      case 'data':
        return this.#view.host.read(plus(mapping.offset, into), to - from);
      case 'compressed':
        return this.#inflate(mapping, from).subarray(into, into + to - from);
      case 'unallocated':
        return this.#readBacking(from, to - from);
      case 'zero':
        return undefined;
    }
  }

  #readBacking(offset: GuestOffset, length: number): Uint8Array | undefined {
    if (!this.#showsBacking(offset)) return undefined;
    if (this.#backing === undefined) {
      throw new ImageError('UNSUPPORTED', this.#view.path, [
        'these bytes are in the backing file, which was not opened with the image',
      ]);
    }
    return this.#backing.read(offset, Math.min(length, this.#backing.length - offset));
  }

  #inflate(mapping: Mapping & { kind: 'compressed' }, at: GuestOffset): Uint8Array {
    const { offset, length } = mapping;
    if (this.#inflated?.offset === offset) return this.#inflated.bytes;
    const { path, host, header, geometry } = this.#view;
    const packed = host.read(offset, length);
    try {
      const bytes = inflateCluster(header.compressionType, packed, geometry.clusterSize);
      this.#inflated = { offset, bytes };
      return bytes;
    } catch (error) {
      throw new ImageError('DAMAGED', path, [
        `the compressed cluster of guest offset ${hex(at)} cannot be unpacked ` +
          `(${error instanceof Error ? error.message : String(error)})`,
      ]);
    }
  }

  /**
   * Writes a piece whose clusters cannot take it in place.
   * @param part undefined for zeros, where the piece is zeros already
   */
  #writeElsewhere(piece: Piece, part: Uint8Array | undefined): void {
    const { geometry } = this.#view;
    const { mapping } = piece;
    if (mapping.kind === 'zero' && mapping.offset !== 0 && mapping.copied) {
      this.#writeReserved(piece, mapping.offset, part);
      return;
    }
    const { first, count } = clustersOf(this.#view, piece);
    for (let done = 0; done < count; ) {
      const run = this.#refcounts.allocate(count - done, 'guest data');
      const from = Math.max(piece.from, geometry.guestStartOf(plus(first, done)));
      const to = Math.min(piece.to, geometry.guestStartOf(plus(first, done + run.count)));
      const bytes = part?.subarray(from - piece.from, to - piece.from);
      this.#mapNew(piece, done, run, () => this.#fillNew(run, guestOffset(from), bytes, mapping));
      done += run.count;
    }
  }

  /** Writes into the clusters that a piece of zeros has reserved. */
  #writeReserved(piece: Piece, offset: HostOffset, part: Uint8Array | undefined): void {
    const { geometry } = this.#view;
    const { first, count } = clustersOf(this.#view, piece);
    this.#overlap.check('guest data', offset, geometry.bytesOf(count));
    const run: Run = { first: geometry.clusterAt(offset), count };
    if (part === undefined) this.#fillZeros(run);
    else this.#fill(run, piece.from, part);
    for (let i = 0; i < count; i += 1) {
      this.#mapper.set(plus(first, i), dataEntry(geometry.startOf(plus(run.first, i))));
    }
  }

  /**
   * Fills new clusters and maps them, from cluster number `skipped` of a piece on. What is not mapped
   * when one of these fails is released.
   */
  #mapNew(piece: Piece, skipped: number, run: Run, fill: () => void): void {
    const { geometry } = this.#view;
    const { first } = clustersOf(this.#view, piece);
    let mapped = 0;
    try {
      fill();
      for (; mapped < run.count; mapped += 1) {
        const start = geometry.startOf(plus(run.first, mapped));
        this.#mapper.set(plus(first, skipped + mapped), dataEntry(start));
        this.#refcounts.releaseLater(this.#placeOf(piece.mapping, skipped + mapped));
      }
    } catch (error) {
      this.#refcounts.undo({ first: plus(run.first, mapped), count: run.count - mapped });
      throw error;
    }
  }

  /** The clusters of the file that the cluster `index` clusters into a piece refers to. */
  #placeOf(mapping: Mapping, index: number): Run {
    const { geometry } = this.#view;
    if (mapping.kind === 'compressed') return geometry.runOf(mapping.offset, mapping.length);
    if (!isPlaced(mapping)) return { first: geometry.clusterAt(0 as HostOffset), count: 0 };
    return { first: plus(geometry.clusterAt(mapping.offset), index), count: 1 };
  }

  #fillNew(run: Run, at: GuestOffset, part: Uint8Array | undefined, before: Mapping): void {
    const { host, geometry } = this.#view;
    const start = geometry.startOf(run.first);
    const end = plus(start, geometry.bytesOf(run.count));
    const clusterStart = plus(at, -geometry.into(at));
    const wasZeros =
      before.kind === 'zero' ||
      (before.kind === 'unallocated' && !this.#showsBacking(clusterStart));
    const isBlank = wasZeros && host.isBlank(start);
    host.reserve(end);
    if (isBlank) {
      if (part !== undefined) host.write(plus(start, geometry.into(at)), part);
    } else if (part === undefined) {
      this.#fillZeros(run);
    } else {
      this.#fill(run, at, part);
    }
  }

  /** Writes `part` into `run`, and around it what the guest saw there before. */
  #fill(run: Run, at: GuestOffset, part: Uint8Array): void {
    const { host, geometry } = this.#view;
    const before = geometry.into(at);
    const after = geometry.bytesOf(run.count) - before - part.length;
    const head = this.#readPadded(plus(at, -before), before);
    const tail = this.#readPadded(plus(at, part.length), after);
    const whole = before + after === 0 ? part : concat(head, part, tail);
    host.write(geometry.startOf(run.first), whole);
  }

  #fillZeros(run: Run): void {
    const { host, geometry } = this.#view;
    const start = geometry.startOf(run.first);
    const length = geometry.bytesOf(run.count);
    for (let at = 0; at < length; at += STEP_BYTES) {
      host.write(plus(start, at), new Uint8Array(Math.min(STEP_BYTES, length - at)));
    }
  }

  /** Guest bytes, zeros past the end of the disk: the last cluster may reach beyond it. */
  #readPadded(offset: GuestOffset, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const there = Math.min(length, this.#view.header.size - offset);
    if (there > 0) bytes.set(this.read(offset, there));
    return bytes;
  }
}

/** Whether a mapping's cluster may be written in place. */
const isOwn = (
  mapping: Mapping,
): mapping is Mapping & { readonly kind: 'data'; readonly offset: HostOffset } =>
  mapping.kind === 'data' && mapping.copied;
