/**
 * Block nodes: disk images as QEMU stacks them, and the lock of the image at the bottom.
 * @module
 */
export {
  type CreateImageOptions,
  createImage,
  createQcow2,
} from './create-image.js';
export { type FileNode, type OpenFileOptions, openFile } from './file.js';
export * from './guard.js';
export {
  type CheckResult,
  checkImage,
  type ImageInfo,
  imageInfo,
  type RepairResult,
  type Repairs,
  repairImage,
} from './inspect.js';
export { bdrv_lock, bdrv_unlock, lockAsync, withLock, withLockAsync } from './lock.js';
export type { Bytes } from './lockable.js';
export * from './node.js';
export {
  type BackingGate,
  type BackingReference,
  type ImageFormat,
  type OpenImageOptions,
  openImage,
} from './open.js';
export * from './proof.js';
export { type FormatQcow2Options, formatQcow2 } from './qcow2/create.js';
export { isQcow2 } from './qcow2/header.js';
export { type OpenQcow2Options, openQcow2, type Qcow2Node } from './qcow2/node.js';
export { openRaw } from './raw.js';
export { writeZeroes } from './write-zeroes.js';
