/**
 * The qcow2 node: a disk of its own size inside another node. Here is its life: what the header
 * says, and when what is held back is written. The guest's bytes are in guest.ts.
 * @module
 */

import type { LockHolder, LockType } from '../../lock/lock.js';
import { concat, equal } from '../../wire/codec.js';
import { type Bytes, LockableNode } from '../lockable.js';
import { type BlockNode, ImageError, type LockedNode, type ProtocolNode } from '../node.js';
import { MetadataCache } from './cache.js';
import { type Extension, featureNameOf, readExtensions } from './extensions.js';
import { GuestDisk } from './guest.js';
import {
  demandSupport,
  type Header,
  has,
  INCOMPATIBLE,
  isOverlay,
  type Purpose,
  readHeader,
  writeHeader,
} from './header.js';
import { HostFile } from './host.js';
import { type Geometry, geometryOf, type Image } from './image.js';
import { Mapper } from './mapping.js';
import { Overlap } from './overlap.js';
import { Refcounts } from './refcounts.js';
import { repair } from './repair.js';
import { readSnapshots, type SnapshotTable } from './snapshots.js';

export interface OpenQcow2Options {
  readonly readOnly?: boolean;
  /** What shows through where an overlay has nothing; the node then owns it. */
  readonly backing?: BlockNode | undefined;
  /** Takes an image that is marked corrupt or dirty, in order to mend it. */
  readonly forRepair?: boolean;
  /** How many bytes of metadata to keep in memory. Default 4 MiB. */
  readonly cacheBytes?: number;
}

/**
 * Opens the qcow2 image inside `file`, which the node then owns. A writable image that was not
 * closed cleanly is repaired first, as QEMU does.
 * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, CORRUPT; IoError
 */
export function openQcow2(file: ProtocolNode, options: OpenQcow2Options = {}): Qcow2Node {
  return new Qcow2Node(file, options);
}

/** What the first cluster says, and the bytes that it was read from. */
interface Loaded {
  readonly bytes: Uint8Array;
  readonly header: Header;
  readonly geometry: Geometry;
  readonly extensions: readonly Extension[];
  readonly snapshots: SnapshotTable;
}

export class Qcow2Node extends LockableNode implements Image, Bytes {
  readonly driver = 'qcow2';
  readonly file: ProtocolNode;
  protected readonly bytes: Bytes = this;
  readonly host: HostFile;
  readonly readOnly: boolean;
  readonly backing: BlockNode | undefined;
  readonly overlap: Overlap;
  readonly refcounts: Refcounts;
  cache: MetadataCache;
  #loaded: Loaded;
  #stale = false;
  /** How long the file was when we last looked after it: a stranger's change shows in that. */
  #lengthLeft = 0;
  #closed = false;
  #refused: ImageError | undefined;
  readonly #purpose: Purpose;
  readonly #cacheBytes: number | undefined;
  readonly #disk: GuestDisk;

  constructor(file: ProtocolNode, options: OpenQcow2Options) {
    super();
    this.file = file;
    this.host = new HostFile(file);
    this.readOnly = options.readOnly ?? file.readOnly;
    this.backing = options.backing;
    this.#purpose = options.forRepair ? 'repair' : this.readOnly ? 'read' : 'write';
    this.#loaded = this.#load();
    this.#cacheBytes = options.cacheBytes;
    this.cache = this.#newCache();
    this.overlap = new Overlap(this);
    this.refcounts = new Refcounts(this);
    const mapper = new Mapper(this, this.refcounts);
    this.#disk = new GuestDisk(this, this.refcounts, mapper, this.backing);
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

  get snapshots(): SnapshotTable {
    return this.#loaded.snapshots;
  }

  /** The size of the guest's disk. */
  get length(): number {
    this.#refresh();
    return this.header.size;
  }

  read(offset: number, length: number): Uint8Array {
    this.#begin(offset, length);
    return this.#disk.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#beginWrite(offset, bytes.length);
    this.#disk.write(offset, bytes);
  }

  /** Makes bytes zeros, without taking space for whole clusters where the version has a way. */
  writeZeroes(offset: number, length: number): void {
    this.#beginWrite(offset, length);
    this.#disk.writeZeroes(offset, length);
  }

  /** Sets all clusters aside that guest bytes will ever need: no later write allocates. */
  preallocate(offset = 0, length = this.length - offset): void {
    this.#beginWrite(offset, length);
    this.#disk.preallocate(offset, length);
  }

  flush(): void {
    this.#usable();
    if (this.readOnly) return;
    this.cache.commit();
    this.host.flush();
    this.#lowerWaiting();
  }

  lockHolder(type: LockType): LockHolder | undefined {
    return this.file.lockHolder(type);
  }

  protected acquire(type: LockType): LockedNode | undefined {
    return this.file.tryLock(type);
  }

  protected override begin(below: LockedNode): void {
    this.host.attach(below);
    this.invalidate();
  }

  protected override drop(): void {
    this.cache = this.#newCache();
    this.refcounts.forget();
    this.#disk.forget();
    this.host.detach();
  }

  protected override writeBack(): void {
    if (this.readOnly || this.#closed || this.#refused !== undefined || this.host.isBroken) return;
    this.cache.commit();
    if (!this.refcounts.waiting) return;
    this.host.flush();
    this.#lowerWaiting();
  }

  private invalidate(): void {
    if (!this.#stale) this.#lengthLeft = this.#closed ? 0 : this.host.node.length;
    this.#stale = true;
    this.cache.invalidate();
    this.#disk.forget();
  }

  /** Grows the disk; new bytes read as zeros. */
  truncate(length: number): void {
    this.#beginWrite(0, 0);
    const { header, geometry } = this;
    const size = Math.ceil(length / 512) * 512;
    const l1Size = Math.ceil(size / (geometry.clusterSize * geometry.l2Entries));
    // biome-ignore format: table
    const rules: Readonly<Record<string, boolean>> = {
      'the disk does not shrink':                         size >= header.size,
      'the L1 table takes at most 32 MiB (choose larger clusters)':
                                                          l1Size * 8 <= 32 * 2 ** 20,
      'a version 2 image has no snapshots':               header.version >= 3 || header.snapshotCount === 0,
    };
    const broken = Object.keys(rules).filter(rule => !rules[rule]);
    if (broken.length > 0) {
      throw new ImageError(
        'UNSUPPORTED',
        this.path,
        broken.map(rule => `cannot be resized to ${size} bytes unless ${rule}`),
      );
    }
    const old = header.size;
    if (l1Size <= header.l1Size) this.rewriteHeader({ size });
    else this.#growL1(l1Size, size);
    // What a longer backing file has there must not show.
    const shows = Math.min(size, this.#disk.backingLength);
    if (shows > old) this.#disk.writeZeroes(old, shows - old);
  }

  protected closeBelow(): void {
    this.#closed = true;
    this.backing?.close();
    this.file.close();
  }

  corrupt(why: string): never {
    const advice = 'the image is damaged; a check of it tells more';
    const error = new ImageError('DAMAGED', this.path, [why], advice);
    if (this.#purpose === 'write' && this.#refused === undefined) {
      this.#refused = error;
      // Alone, not with whatever else is held back: that is what cannot be trusted any more.
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

  /** Reads everything again: the metadata was changed under this node on purpose. */
  reload(): void {
    this.overlap.forget();
    this.#loaded = this.#load();
    this.cache = this.#newCache();
  }

  /** The name of the backing file, as the image has it. */
  get backingName(): string | undefined {
    const { backingFileOffset, backingFileSize } = this.header;
    if (!isOverlay(this.header)) return undefined;
    return new TextDecoder().decode(this.host.read(backingFileOffset, backingFileSize));
  }

  /**
   * What a writer owes before its first write: bits that nobody keeps up are cleared, and an image
   * that was not closed cleanly gets its refcounts back.
   */
  #prepareToWrite(): void {
    const due = (): boolean => this.header.autoclear !== 0n || has(this.header, INCOMPATIBLE.dirty);
    if (!due()) return;
    if (has(this.header, INCOMPATIBLE.dirty)) this.#repairDirty();
    this.rewriteHeader({ autoclear: 0n });
  }

  #repairDirty(): void {
    const { corruptions, checkErrors } = repair(this, 'all');
    if (corruptions === 0 && checkErrors === 0) return;
    const incompatible = this.header.incompatible | INCOMPATIBLE.corrupt;
    this.rewriteHeader({ incompatible });
    throw new ImageError('DAMAGED', this.path, [
      'the image was not closed cleanly and could not be repaired',
    ]);
  }

  /** The new table is durable before the header speaks of it, the old one free after. */
  #growL1(l1Size: number, size: number): void {
    const { header, host, cache } = this;
    const { clusterSize } = this.geometry;
    cache.commit();
    const clusters = Math.ceil((l1Size * 8) / clusterSize);
    const { first } = this.refcounts.allocate(clusters, 'an L1 table', true);
    const table = new Uint8Array(l1Size * 8);
    if (header.l1Size > 0) table.set(host.read(header.l1TableOffset, header.l1Size * 8));
    for (let i = 0; i < clusters; i += 1) cache.forget((first + i) * clusterSize);
    host.write(first * clusterSize, table);
    const old = {
      first: header.l1TableOffset / clusterSize,
      count: Math.ceil((header.l1Size * 8) / clusterSize),
    };
    this.rewriteHeader({ size, l1Size, l1TableOffset: first * clusterSize });
    this.overlap.rebuild();
    this.refcounts.release(old);
  }

  #lowerWaiting(): void {
    if (!this.refcounts.waiting) return;
    this.refcounts.lowerWaiting();
    this.cache.commit();
  }

  #beginWrite(offset: number, length: number): void {
    if (this.readOnly) {
      throw new ImageError('READONLY', this.path, ['the image was opened read-only']);
    }
    this.#begin(offset, length);
    this.#prepareToWrite();
    this.overlap.prepare();
  }

  /** Checks that guest bytes can be got at. */
  #begin(offset: number, length: number): void {
    this.#usable();
    this.#refresh();
    if (offset >= 0 && length >= 0 && offset + length <= this.header.size) return;
    throw new ImageError('RANGE', this.path, [
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
    const isSame = equal(this.host.read(0, before.bytes.length), before.bytes);
    if (!isSame) {
      this.#loaded = this.#load();
      if (this.geometry.clusterSize !== before.geometry.clusterSize) {
        this.cache = this.#newCache();
      }
    }
    if (!isSame || this.host.node.length !== this.#lengthLeft) this.overlap.forget();
    this.#stale = false;
  }

  #newCache(): MetadataCache {
    return new MetadataCache(this.host, this.geometry.clusterSize, this.#cacheBytes);
  }

  #load(): Loaded {
    const { path, host } = this;
    const head = host.node.read(0, Math.min(512, host.node.length));
    const header = readHeader(path, head);
    const geometry = geometryOf(header);
    const areaEnd = header.backingFileOffset || geometry.clusterSize;
    const cluster = host.read(0, geometry.clusterSize);
    const extensions = readExtensions(path, cluster.subarray(header.headerLength, areaEnd));
    demandSupport(path, header, this.#purpose, bit =>
      featureNameOf(extensions, 'incompatible', bit),
    );
    const used = extensions.reduce((sum, { data }) => sum + 16 + data.length, 0);
    const names =
      header.backingFileOffset === 0 ? 0 : header.backingFileOffset + header.backingFileSize;
    const length = Math.min(geometry.clusterSize, Math.max(header.headerLength + used, names));
    const snapshots = readSnapshots(path, host, header);
    return { bytes: cluster.slice(0, length), header, geometry, extensions, snapshots };
  }
}
