/**
 * The qcow2 node: a disk of its own size inside another node. Reads follow the mapping; writes go
 * in place where the cluster is ours alone, else into clusters that are allocated for them.
 * @module
 */
import { concat, equal } from '../../wire/codec.js';
import { type BlockNode, ImageError } from '../node.js';
import { MetadataCache } from './cache.js';
import { dataEntry, type Mapping } from './entries.js';
import { type Extension, featureNameOf, readExtensions } from './extensions.js';
import { demandSupport, type Header, INCOMPATIBLE, readHeader, writeHeader } from './header.js';
import { HostFile } from './host.js';
import { type Geometry, geometryOf, type Image } from './image.js';
import { Mapper } from './mapping.js';
import { Refcounts } from './refcounts.js';

export interface OpenQcow2Options {
  readonly readOnly?: boolean;
}

/**
 * Opens the qcow2 image inside `file`, which the node then owns.
 * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, CORRUPT; IoError
 */
export function openQcow2(file: BlockNode, options: OpenQcow2Options = {}): Qcow2Node {
  return new Qcow2Node(file, options);
}

/** What the first cluster says, and the bytes that it was read from. */
interface Loaded {
  readonly bytes: Uint8Array;
  readonly header: Header;
  readonly geometry: Geometry;
  readonly extensions: readonly Extension[];
}

export class Qcow2Node implements BlockNode, Image {
  readonly driver = 'qcow2';
  readonly file: BlockNode;
  readonly host: HostFile;
  readonly readOnly: boolean;
  cache: MetadataCache;
  #loaded: Loaded;
  #stale = false;
  #closed = false;
  #refused: ImageError | undefined;
  readonly #refcounts: Refcounts;
  readonly #mapper: Mapper;

  constructor(file: BlockNode, options: OpenQcow2Options) {
    this.file = file;
    this.host = new HostFile(file);
    this.readOnly = options.readOnly ?? file.readOnly;
    this.#loaded = this.#load();
    this.cache = new MetadataCache(this.host, this.geometry.clusterSize);
    this.#refcounts = new Refcounts(this);
    this.#mapper = new Mapper(this, this.#refcounts);
  }

  get path(): string {
    return this.file.path;
  }

  get header(): Header {
    return this.#loaded.header;
  }

  get geometry(): Geometry {
    return this.#loaded.geometry;
  }

  get extensions(): readonly Extension[] {
    return this.#loaded.extensions;
  }

  /** The size of the guest's disk. */
  get length(): number {
    this.#refresh();
    return this.header.size;
  }

  read(offset: number, length: number): Uint8Array {
    this.#begin(offset, length);
    const bytes = new Uint8Array(length);
    for (const run of this.#runs(offset, length)) {
      const { mapping, from, to } = run;
      if (mapping.kind !== 'data') {
        if (mapping.kind === 'compressed') this.#noCompression();
        continue;
      }
      bytes.set(this.host.read(mapping.offset + run.into, to - from), from - offset);
    }
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.readOnly) {
      throw new ImageError('ERR_IMAGE_READONLY', this.path, ['the image was opened read-only']);
    }
    this.#begin(offset, bytes.length);
    for (const run of this.#runs(offset, bytes.length)) {
      const part = bytes.subarray(run.from - offset, run.to - offset);
      const { mapping } = run;
      if (mapping.kind === 'data' && mapping.copied) {
        this.host.write(mapping.offset + run.into, part);
      } else {
        this.#writeElsewhere(run, part);
      }
    }
  }

  flush(): void {
    if (this.readOnly) return;
    this.#usable();
    this.cache.commit();
    this.file.flush();
    this.#lowerWaiting();
  }

  settle(): void {
    if (this.readOnly || this.#closed || this.#refused !== undefined) return;
    this.cache.commit();
    if (!this.#refcounts.waiting) return;
    this.file.flush();
    this.#lowerWaiting();
  }

  invalidate(): void {
    this.#stale = true;
    this.cache.invalidate();
  }

  /** Grows the disk; new bytes read as zeros. */
  truncate(length: number): void {
    this.#usable();
    const { header } = this;
    const size = Math.ceil(length / 512) * 512;
    if (size < header.size) {
      throw new ImageError('ERR_IMAGE_UNSUPPORTED', this.path, ['a qcow2 disk cannot shrink here']);
    }
    const perEntry = this.geometry.clusterSize * this.geometry.l2Entries;
    const l1Size = Math.ceil(size / perEntry);
    if (l1Size * 8 > 32 * 2 ** 20) {
      throw new ImageError('ERR_IMAGE_UNSUPPORTED', this.path, [
        `a disk of ${size} bytes needs an L1 table of more than 32 MiB`,
        'choose a larger cluster size',
      ]);
    }
    if (l1Size <= header.l1Size) this.rewriteHeader({ size });
    else this.#growL1(l1Size, size);
  }

  close(): void {
    if (this.#closed) return;
    try {
      this.settle();
    } finally {
      this.#closed = true;
      this.file.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  corrupt(why: string): never {
    const error = new ImageError(
      'ERR_IMAGE_CORRUPT',
      this.path,
      [why],
      'the image is damaged; look at it with qemu-img check',
    );
    if (!this.readOnly && this.#refused === undefined) {
      this.#refused = error;
      // Alone, not with whatever else is cached: that is what cannot be trusted any more.
      const incompatible = this.header.incompatible | INCOMPATIBLE.corrupt;
      if (this.header.version >= 3) {
        this.host.write(0, writeHeader({ ...this.header, incompatible }));
        this.host.flush();
      }
    }
    throw error;
  }

  rewriteHeader(changes: Partial<Header>): void {
    const header = { ...this.header, ...changes };
    this.cache.commit();
    this.host.flush();
    const bytes = writeHeader(header);
    this.host.write(0, bytes);
    this.host.flush();
    const kept = concat(bytes, this.#loaded.bytes.subarray(bytes.length));
    this.#loaded = { ...this.#loaded, header, bytes: kept };
  }

  /** The new table is durable before the header speaks of it, the old one free after. */
  #growL1(l1Size: number, size: number): void {
    const { header, host, cache } = this;
    const { clusterSize } = this.geometry;
    cache.commit();
    const clusters = Math.ceil((l1Size * 8) / clusterSize);
    const { first } = this.#refcounts.allocate(clusters, true);
    const table = new Uint8Array(l1Size * 8);
    if (header.l1Size > 0) table.set(host.read(header.l1TableOffset, header.l1Size * 8));
    for (let i = 0; i < clusters; i += 1) cache.forget((first + i) * clusterSize);
    host.write(first * clusterSize, table);
    const old = {
      first: header.l1TableOffset / clusterSize,
      count: Math.ceil((header.l1Size * 8) / clusterSize),
    };
    this.rewriteHeader({ size, l1Size, l1TableOffset: first * clusterSize });
    this.#refcounts.release(old);
  }

  #lowerWaiting(): void {
    if (!this.#refcounts.waiting) return;
    this.#refcounts.lowerWaiting();
    this.cache.commit();
  }

  /** Writes a run whose clusters cannot take it in place: into new clusters, as far as they reach. */
  #writeElsewhere(run: Run, part: Uint8Array): void {
    const { clusterSize } = this.geometry;
    const { mapping } = run;
    if (mapping.kind === 'compressed') this.#noCompression();
    let at = run.from;
    while (at < run.to) {
      const cluster = Math.floor(at / clusterSize);
      const left = Math.ceil(run.to / clusterSize) - cluster;
      const setAside = mapping.kind === 'zero' && mapping.offset !== 0 && mapping.copied;
      const skipped = cluster - Math.floor(run.from / clusterSize);
      const room = setAside
        ? { first: mapping.offset / clusterSize + skipped, count: left }
        : this.#refcounts.allocate(left);
      const to = Math.min(run.to, (cluster + room.count) * clusterSize);
      try {
        this.#fill(room, at, part.subarray(at - run.from, to - run.from), !setAside, mapping.kind);
      } catch (error) {
        if (!setAside) this.#refcounts.release(room);
        throw error;
      }
      for (let i = 0; i < room.count; i += 1) {
        this.#mapper.set(cluster + i, dataEntry((room.first + i) * clusterSize));
        if (!setAside && 'offset' in mapping && mapping.offset !== 0) {
          this.#refcounts.releaseLater(mapping.offset / clusterSize + skipped + i);
        }
      }
      at = to;
    }
  }

  /** Writes `part` into `room`, and around it what the guest saw there before. */
  #fill(
    room: { first: number; count: number },
    at: number,
    part: Uint8Array,
    isNew: boolean,
    kind: Mapping['kind'],
  ): void {
    const { clusterSize } = this.geometry;
    const host = room.first * clusterSize;
    const end = host + room.count * clusterSize;
    const before = at % clusterSize;
    const after = room.count * clusterSize - before - part.length;
    if (isNew && kind !== 'data' && this.host.isBlank(host)) {
      this.host.reserve(end);
      this.host.write(host + before, part);
      return;
    }
    const head = this.#readPart(at - before, before);
    const tail = this.#readPart(at + part.length, after);
    this.host.write(host, before + after === 0 ? part : concat(head, part, tail));
  }

  /** Guest bytes, zeros past the end of the disk: the last cluster may reach beyond it. */
  #readPart(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const there = Math.min(length, this.header.size - offset);
    if (there > 0) bytes.set(this.read(offset, there));
    return bytes;
  }

  /**
   * The guest bytes from `offset` on, cut where the mapping changes its kind or the clusters are
   * not next to each other in the file.
   */
  *#runs(offset: number, length: number): Generator<Run> {
    const { clusterSize } = this.geometry;
    const end = offset + length;
    let run: Run | undefined;
    for (let at = offset; at < end; ) {
      const cluster = Math.floor(at / clusterSize);
      const next = Math.min(end, (cluster + 1) * clusterSize);
      const mapping = this.#mapper.lookup(cluster);
      if (run !== undefined && continues(run, mapping, at)) {
        run.to = next;
      } else {
        if (run !== undefined) yield run;
        run = { mapping, from: at, to: next, into: at % clusterSize };
      }
      at = next;
    }
    if (run !== undefined) yield run;
  }

  #noCompression(): never {
    throw new ImageError('ERR_IMAGE_UNSUPPORTED', this.path, [
      'compressed clusters are not supported',
    ]);
  }

  /** Checks that guest bytes can be got at. */
  #begin(offset: number, length: number): void {
    this.#usable();
    this.#refresh();
    if (offset >= 0 && length >= 0 && offset + length <= this.header.size) return;
    throw new ImageError('ERR_IMAGE_RANGE', this.path, [
      `bytes ${offset} to ${offset + length} are not all on the disk of ${this.header.size} bytes`,
    ]);
  }

  #usable(): void {
    if (this.#refused !== undefined) throw this.#refused;
  }

  /** After invalidate(): reads the header again, and what follows from it if it has changed. */
  #refresh(): void {
    if (!this.#stale) return;
    const before = this.#loaded;
    if (!equal(this.host.read(0, before.bytes.length), before.bytes)) {
      this.#loaded = this.#load();
      if (this.geometry.clusterSize !== before.geometry.clusterSize) {
        this.cache = new MetadataCache(this.host, this.geometry.clusterSize);
      }
    }
    this.#stale = false;
  }

  #load(): Loaded {
    const { path, host } = this;
    const head = host.node.read(0, Math.min(512, host.node.length));
    const header = readHeader(path, head);
    const geometry = geometryOf(header);
    const areaEnd = header.backingFileOffset || geometry.clusterSize;
    const cluster = host.read(0, geometry.clusterSize);
    const extensions = readExtensions(path, cluster.subarray(header.headerLength, areaEnd));
    demandSupport(path, header, this.readOnly, bit =>
      featureNameOf(extensions, 'incompatible', bit),
    );
    const used = extensions.reduce((sum, { data }) => sum + 16 + data.length, 0);
    const length = Math.min(geometry.clusterSize, header.headerLength + used);
    return { bytes: cluster.slice(0, length), header, geometry, extensions };
  }
}

/** A piece of guest bytes that has one kind of mapping, of clusters in a row. */
interface Run {
  /** The mapping of the first cluster. */
  readonly mapping: Mapping;
  readonly from: number;
  to: number;
  /** How far into its cluster `from` lies. */
  readonly into: number;
}

/** Whether the cluster at guest offset `at` with this mapping is the next one of the run. */
function continues(run: Run, mapping: Mapping, at: number): boolean {
  const first = run.mapping;
  if (first.kind !== mapping.kind) return false;
  if (first.kind === 'unallocated') return true;
  if (first.kind === 'compressed' || mapping.kind !== first.kind) return false;
  if (first.copied !== mapping.copied) return false;
  if (first.kind === 'zero' && first.offset === 0) return mapping.offset === 0;
  return mapping.offset === first.offset + (at - (run.from - run.into));
}
