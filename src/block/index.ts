/**
 * Block nodes: disk images as QEMU stacks them, and the lock of the image at the bottom.
 * @module
 */
import { type BlockNode, ImageError, type LockedNode } from './node.js';
import { type CheckResult, check } from './qcow2/check.js';
import { Qcow2Node } from './qcow2/node.js';
import { type RepairResult, type Repairs, repair } from './qcow2/repair.js';

export { type CreateImageOptions, createImage } from './create-image.js';
export { type FileNode, type OpenFileOptions, openFile } from './file.js';
export * from './guard.js';
export { bdrv_lock, bdrv_unlock, lockAsync, withLock, withLockAsync } from './lock.js';
export * from './node.js';
export {
  type BackingGate,
  type BackingReference,
  type ImageFormat,
  type OpenImageOptions,
  openImage,
} from './open.js';
export type { CheckResult } from './qcow2/check.js';
export {
  type CreateQcow2Options,
  createQcow2,
  type FormatQcow2Options,
  formatQcow2,
} from './qcow2/create.js';
export { isQcow2 } from './qcow2/header.js';
export { type OpenQcow2Options, openQcow2, type Qcow2Node } from './qcow2/node.js';
export type { RepairResult, Repairs } from './qcow2/repair.js';
export { openRaw } from './raw.js';

/** What an image is, for a user's eyes. */
export interface ImageInfo {
  readonly format: string;
  readonly version: number | undefined;
  readonly clusterSize: number | undefined;
  readonly virtualSize: number;
  /** The backing file as the image names it. */
  readonly backing: string | undefined;
  readonly snapshots: readonly {
    readonly id: string;
    readonly name: string;
    /** When it was made, in seconds since 1970. */
    readonly seconds: number;
    readonly vmStateSize: number;
  }[];
}

export function imageInfo(disk: LockedNode): ImageInfo {
  const image = qcow2In(disk.node);
  if (image === undefined) {
    const { length: virtualSize } = disk;
    const { driver: format } = disk.node;
    return {
      format,
      version: undefined,
      clusterSize: undefined,
      virtualSize,
      backing: undefined,
      snapshots: [],
    };
  }
  const virtualSize = image.length;
  return {
    format: image.driver,
    version: image.header.version,
    clusterSize: image.geometry.clusterSize,
    virtualSize,
    backing: image.backingName,
    snapshots: image.snapshots.snapshots.map(({ id, name, seconds, vmStateSize }) => ({
      id,
      name,
      seconds,
      vmStateSize,
    })),
  };
}

/**
 * What is wrong with the image: the counts are those of `qemu-img check`.
 * @throws ImageError NOT_QCOW2 for a node without any such metadata
 */
export function checkImage(disk: LockedNode): CheckResult {
  const image = demandQcow2(disk.node);
  if (!image.readOnly) disk.flush();
  image.reload();
  return check(image);
}

/**
 * Mends leaks, or everything about refcounts that can be told with certainty. To be called under
 * the lock, on an image that was opened `forRepair`.
 * @throws ImageError NOT_QCOW2, READONLY; IoError
 */
export function repairImage(disk: LockedNode, what: Repairs): RepairResult {
  const image = demandQcow2(disk.node);
  if (image.readOnly) {
    throw new ImageError('READONLY', disk.path, ['it was opened read-only']);
  }
  disk.flush();
  image.reload();
  return repair(image, what);
}

function qcow2In(node: BlockNode): Qcow2Node | undefined {
  for (let at: BlockNode | undefined = node; at !== undefined; at = at.file) {
    if (at instanceof Qcow2Node) return at;
  }
  return undefined;
}

function demandQcow2(node: BlockNode): Qcow2Node {
  const image = qcow2In(node);
  if (image !== undefined) return image;
  throw new ImageError('NOT_QCOW2', node.path, ['only a qcow2 image can be checked']);
}
