/**
 * An image while its lock is held: what the header says, what is held back, and the guest's bytes.
 * It lives from one outermost lock to its release, so nothing in it can be stale.
 * @module
 */
import { broken, type Rules } from '../../rules.js';
import type { Bytes } from '../lockable.js';
import { ImageError, type LockedNode } from '../node.js';
import { demandRange } from '../range.js';
import { MetadataCache } from './cache.js';
import { type CheckResult, check } from './check.js';
import type { Faults } from './faults.js';
import { GuestDisk } from './guest.js';
import { has, INCOMPATIBLE, isOverlay, type Purpose } from './header.js';
import { HeaderWriter, type WritableView } from './header-writer.js';
import { HostFile } from './host.js';
import { Mapper } from './mapping.js';
import { Overlap, type OverlapMemory } from './overlap.js';
import { Refcounts } from './refcounts.js';
import { type RepairResult, type Repairs, repair } from './repair.js';
import { readSnapshots } from './snapshots.js';
import { type GuestOffset, guestOffset, plus, type Run } from './units.js';
import { type FirstCluster, readFirstCluster, readView, type View } from './view.js';

export interface DiskOptions {
  readonly path: string;
  readonly purpose: Purpose;
  readonly readOnly: boolean;
  readonly cacheBytes: number | undefined;
  /** The disk below an overlay, where it was opened. */
  readonly backing: LockedNode | undefined;
  /** What an earlier lock, or the opening of the image, saw of it. */
  readonly known: { readonly first: FirstCluster; readonly overlap: OverlapMemory | undefined };
}

/** A disk that is to be resized. */
interface Resize {
  readonly view: View;
  readonly size: number;
  readonly l1Size: number;
  readonly hasBacking: boolean;
}

// biome-ignore format: table
const RESIZABLE_UNLESS: Rules<Resize> = {
  'the disk does not shrink':                    r => r.size >= r.view.header.size,
  'the L1 table takes at most 32 MiB (choose larger clusters)':
                                                 r => r.l1Size * 8 <= 32 * 2 ** 20,
  'a version 2 image has no snapshots':          r => r.view.header.version >= 3 || r.view.header.snapshotCount === 0,
  'the backing file of an overlay is open':      r => !isOverlay(r.view.header) || r.hasBacking || r.view.header.size === 0,
};

export class Qcow2Disk implements Bytes, Faults {
  readonly view: View;
  readonly refcounts: Refcounts;
  readonly headerWriter: HeaderWriter;
  readonly cache: MetadataCache;
  readonly overlap: Overlap;
  readonly backing: LockedNode | undefined;
  readonly #writableView: WritableView;
  readonly #purpose: Purpose;
  readonly #readOnly: boolean;
  readonly #marks: boolean;
  readonly #guest: GuestDisk;
  #damage: ImageError | undefined;
  /** Whether a write was begun under this lock: a refusal before that leaves the file as it is. */
  #isWriting = false;

  /**
   * @param below the lock of the file, for as long as this is used
   * @throws ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, DAMAGED; IoError
   */
  constructor(below: LockedNode, options: DiskOptions) {
    const { path, purpose, readOnly, cacheBytes, backing, known } = options;
    const host = new HostFile(below);
    const view: WritableView = readView(path, host, purpose, known.first);
    this.#writableView = view;
    this.#purpose = purpose;
    this.#readOnly = readOnly;
    this.#marks = purpose === 'write' && below.type === 'exclusive';
    this.view = view;
    this.backing = backing;
    this.cache = new MetadataCache(host, view.geometry.clusterSize, cacheBytes);
    this.headerWriter = new HeaderWriter(view, this.cache, purpose);
    this.overlap = new Overlap(view, this, readOnly, known.overlap);
    this.refcounts = new Refcounts(view, this.cache, this.overlap, this, this.headerWriter);
    const mapper = new Mapper(view, this.cache, this.refcounts, this.overlap, this);
    this.#guest = new GuestDisk(view, this.refcounts, mapper, this.overlap, backing);
  }

  /** The size of the guest's disk. */
  get length(): number {
    return this.view.header.size;
  }

  /** The contradiction in the metadata that ended the use of this image. */
  get damage(): ImageError | undefined {
    return this.#damage;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#guest.read(this.#begin(offset, length), length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#guest.write(this.#beginWrite(offset, bytes.length), bytes);
  }

  /** Makes bytes zeros, without taking space for whole clusters where the version has a way. */
  writeZeroes(offset: number, length: number): void {
    this.#guest.writeZeroes(this.#beginWrite(offset, length), length);
  }

  /**
   * Allocates clusters of this image for guest bytes, with the bytes that they show.
   * @returns false if all had them already: then nothing was written
   */
  allocate(offset: number, length: number): boolean {
    if (this.#guest.isAllocated(this.#begin(offset, length), length)) return false;
    this.#guest.allocate(this.#beginWrite(offset, length), length);
    return true;
  }

  /** Checks the image as it is in the file, with everything written so far. */
  check(): CheckResult {
    this.flush();
    this.reload();
    return check(this);
  }

  /** Repairs leaks, or all refcounts. */
  repair(what: Repairs): RepairResult {
    this.flush();
    this.reload();
    return repair(this, what);
  }

  /**
   * Makes everything written before durable. A failed write of metadata can be retried; after a failed
   * flush of the file, or a failed write of the header, nothing is written any more.
   */
  flush(): void {
    this.#demandSound();
    if (this.#readOnly) return;
    this.headerWriter.commitAndFlush();
    this.#lowerWaiting();
  }

  /** Writes what is held back, for the next holder of the lock to find. */
  writeBack(): void {
    // What is held back of an image that contradicts itself cannot be trusted.
    if (this.#readOnly || this.#damage !== undefined) return;
    if (this.view.host.failure !== undefined) throw this.view.host.failure;
    this.cache.commit();
    if (!this.refcounts.waiting) return;
    this.view.host.flush();
    this.#lowerWaiting();
  }

  /** Grows the disk; new bytes read as zeros. */
  truncate(length: number): void {
    this.#beginWrite(0, 0);
    const { header, geometry } = this.view;
    const size = Math.ceil(length / 512) * 512;
    const l1Size = Math.ceil(size / geometry.bytesOf(geometry.l2Entries));
    const hasBacking = this.backing !== undefined;
    const found = broken(RESIZABLE_UNLESS, { view: this.view, size, l1Size, hasBacking });
    if (found.length > 0) {
      throw new ImageError(
        'UNSUPPORTED',
        this.view.path,
        found.map(rule => `cannot be resized to ${size} bytes unless ${rule}`),
      );
    }
    if (l1Size > header.l1Size) this.#growL1(l1Size);
    // Neither what a longer backing file has there may show, nor a machine's state behind the disk.
    const mapped = geometry.bytesOf(header.l1Size * geometry.l2Entries);
    const shown = Math.min(size, Math.max(mapped, this.backing?.length ?? 0));
    if (shown > header.size) this.#guest.writeZeroes(guestOffset(header.size), shown - header.size);
    this.headerWriter.rewrite({ size });
  }

  corrupt(why: string): never {
    const advice = 'the image is damaged; a check of it tells more';
    const error = new ImageError('DAMAGED', this.view.path, [why], advice);
    if (this.#marks && this.#damage === undefined) {
      this.#damage = error;
      if (!this.#isWriting) throw error;
      try {
        this.headerWriter.markCorrupt();
      } catch {
        // The damage is what matters. The next lock finds it again.
      }
    }
    throw error;
  }

  /** Reads everything again: the metadata was changed directly. */
  reload(): void {
    const { path, host } = this.view;
    this.cache.clear();
    this.refcounts.forget();
    const first = readFirstCluster(path, host, this.#purpose);
    Object.assign(this.#writableView, first, {
      snapshots: readSnapshots(path, host, first.header),
    });
    this.overlap.forget();
  }

  /**
   * Work required before a write: bits that are not kept up to date are cleared, and an image that was
   * not closed cleanly gets its refcounts back.
   * @throws ImageError READONLY, DAMAGED; IoError
   */
  prepareToWrite(): void {
    if (this.#readOnly) {
      throw new ImageError('READONLY', this.view.path, ['the image was opened read-only']);
    }
    this.#demandSound();
    this.#isWriting = true;
    const isDirty = has(this.view.header, INCOMPATIBLE.dirty);
    if (isDirty) this.#repairDirty();
    if (isDirty || this.view.header.autoclear !== 0n) this.headerWriter.rewrite({ autoclear: 0n });
    this.overlap.prepare();
  }

  #repairDirty(): void {
    const { corruptions, checkErrors } = repair(this, 'all');
    if (corruptions + checkErrors === 0) return;
    this.corrupt('the image was not closed cleanly and could not be repaired');
  }

  /** The new table is durable before the header refers to it, the old one free after. */
  #growL1(l1Size: number): void {
    const { header, host, geometry } = this.view;
    this.cache.commit();
    const run = this.refcounts.allocate(geometry.clustersFor(l1Size * 8), 'an L1 table', true);
    const l1TableOffset = geometry.startOf(run.first);
    const table = new Uint8Array(l1Size * 8);
    try {
      table.set(host.read(header.l1TableOffset, header.l1Size * 8));
      for (let i = 0; i < run.count; i += 1)
        this.cache.forget(geometry.startOf(plus(run.first, i)));
      host.write(l1TableOffset, table);
    } catch (error) {
      this.refcounts.undo(run);
      throw error;
    }
    const old: Run = {
      first: geometry.clusterAt(header.l1TableOffset),
      count: geometry.clustersFor(header.l1Size * 8),
    };
    this.headerWriter.rewrite({ l1Size, l1TableOffset });
    this.overlap.rebuild();
    this.refcounts.release(old);
  }

  #lowerWaiting(): void {
    if (!this.refcounts.waiting) return;
    this.refcounts.lowerWaiting();
    this.cache.commit();
  }

  #beginWrite(offset: number, length: number): GuestOffset {
    const at = this.#begin(offset, length);
    this.prepareToWrite();
    return at;
  }

  #begin(offset: number, length: number): GuestOffset {
    this.#demandSound();
    demandRange(this.view.path, this, offset, length);
    return guestOffset(offset);
  }

  #demandSound(): void {
    if (this.#damage !== undefined) throw this.#damage;
  }
}
