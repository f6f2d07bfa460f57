/**
 * What an image itself says about the store in it: whether nothing can have been stored in it, whether
 * its mapping is whole, and what a change of the key cannot reach. A lost mapping makes every guest
 * byte read as zero, so zeros alone prove nothing.
 * @module
 */
import { equal } from '../wire/codec.js';
import type { LockedNode } from './node.js';
import { tracesIn } from './qcow2/emptiness.js';
import { eraseUnused } from './qcow2/erase.js';
import { has, INCOMPATIBLE, isOverlay } from './qcow2/header.js';
import { damage, hasSnapshots, lostMapping } from './qcow2/lost-mapping.js';
import { Qcow2Node } from './qcow2/node.js';
import { faultsIn } from './qcow2/soundness.js';
import { isTagged, readTag, type StoreTag, tagExtension } from './qcow2/store-tag.js';
import { isZeros } from './zeros.js';

/** What formatting a store leaves in the header of its image, where QEMU keeps it. */
export type { StoreTag };

/** Whether nothing can have been stored in an image. */
export type Emptiness =
  /** Proven. `byHeader`: the image has a header that would show a store; a raw disk has none. */
  | { readonly proven: true; readonly byHeader: boolean }
  | { readonly proven: false; readonly why: readonly string[] };

/** The tag in the image's header; undefined if there is no readable one. */
export function storeTag(disk: LockedNode): StoreTag | undefined {
  const image = Qcow2Node.diskOf(disk);
  return image === undefined ? undefined : readTag(image.view.extensions);
}

/**
 * Leaves the tag in the image's header, durably. False where the image has no header, or no room in it.
 * @throws ImageError READONLY, DAMAGED; IoError
 */
export function writeStoreTag(disk: LockedNode, tag: StoreTag): boolean {
  const image = Qcow2Node.diskOf(disk);
  if (image === undefined) return false;
  const extension = tagExtension(tag);
  const [first] = image.view.extensions;
  if (first?.type === extension.type && equal(first.data, extension.data)) return true;
  image.prepareToWrite();
  return image.headerWriter.putFirst(extension);
}

/**
 * Whether nothing can have been stored in the image. For qcow2: a full check without a finding, no tag,
 * and zeros in every cluster that is allocated, in the whole chain of an overlay. For a raw disk, which
 * may be a large device: zeros in the first `rawBytes` bytes.
 * @throws IoError, ImageError
 */
export function proveEmpty(disk: LockedNode, rawBytes = Infinity): Emptiness {
  const image = Qcow2Node.diskOf(disk);
  if (image === undefined) return proveZeros(disk, Math.min(rawBytes, disk.length));
  const why = tracesIn(image);
  if (why.length > 0) return { proven: false, why };
  if (!isOverlay(image.view.header)) return { proven: true, byHeader: true };
  if (image.backing === undefined) {
    return { proven: false, why: ['its backing file was not opened with the image'] };
  }
  const below = proveEmpty(image.backing, rawBytes);
  if (below.proven) return below;
  return { proven: false, why: below.why.map(each => `its backing file: ${each}`) };
}

/**
 * What a full check of the image finds, leaks included, as sentences; empty for a sound image and for a
 * raw disk. Its backing file is left aside.
 * @throws IoError
 */
export function imageFaults(disk: LockedNode): readonly string[] {
  const image = Qcow2Node.diskOf(disk);
  return image === undefined ? [] : faultsIn(image);
}

const STEP_BYTES = 2 ** 20;

function proveZeros(disk: LockedNode, length: number): Emptiness {
  for (let at = 0; at < length; at += STEP_BYTES) {
    const bytes = disk.read(at, Math.min(STEP_BYTES, length - at));
    if (isZeros(bytes)) continue;
    const offset = at + bytes.findIndex(byte => byte !== 0);
    return { proven: false, why: [`there is data at offset ${offset}`] };
  }
  return { proven: true, byHeader: false };
}

/**
 * What is wrong with the mapping of the first `length` guest bytes, as sentences; empty if nothing is.
 * With a tag, formatting has allocated them, so an unallocated part of them is lost, unless the image
 * checks clean (qemu-img commit empties an overlay). Without one, once in the life of an image, it must
 * have no damage, and neither may an image with snapshots.
 * @throws IoError, ImageError
 */
export function mappingFaults(disk: LockedNode, length: number): readonly string[] {
  const image = Qcow2Node.diskOf(disk);
  if (image === undefined) return [];
  if (has(image.view.header, INCOMPATIBLE.dirty)) return hasSnapshots(image) ? damage(image) : [];
  return isTagged(image.view.extensions) ? lostMapping(image, length) : damage(image);
}

/**
 * Allocates the first `length` guest bytes in this layer, with the bytes that they show, durably.
 * Writes nothing if they are.
 * @throws ImageError RANGE, READONLY, DAMAGED; IoError
 */
export function allocateArea(disk: LockedNode, length: number): void {
  if (Qcow2Node.diskOf(disk)?.allocate(0, length)) disk.flush();
}

/**
 * Overwrites what the image file holds in clusters that nothing uses, durably. Not the backing file, and
 * not what snapshots refer to: see `unreachable`.
 * @throws ImageError DAMAGED where used clusters cannot be told from free ones; READONLY; IoError
 */
export function eraseFreeClusters(disk: LockedNode): void {
  const image = Qcow2Node.diskOf(disk);
  if (image !== undefined) eraseUnused(image);
}

/** A part of the image that still may hold what was overwritten in the active disk. */
export interface Unreachable {
  readonly kind: 'snapshot' | 'backing file';
  /** The snapshot's name, or the backing file's as the image has it. */
  readonly name: string;
}

/** What overwriting guest bytes does not reach. */
export function unreachable(disk: LockedNode): readonly Unreachable[] {
  const view = Qcow2Node.diskOf(disk)?.view;
  if (view === undefined) return [];
  const snapshots = view.snapshots.snapshots.map(({ id, name }) => ({
    kind: 'snapshot' as const,
    name: name === '' ? id : name,
  }));
  if (view.backingName === undefined) return snapshots;
  return [...snapshots, { kind: 'backing file', name: view.backingName }];
}
