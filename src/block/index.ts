/**
 * Block nodes: disk images as QEMU stacks them, and the lock of the image at the bottom.
 * @module
 */
import { type OpenFileOptions, openFile } from './file.js';
import { type BlockNode, ImageError } from './node.js';
import { openQcow2, Qcow2Node } from './qcow2/node.js';

export { type FileNode, type OpenFileOptions, openFile } from './file.js';
export { bdrv_lock, bdrv_unlock } from './lock.js';
export * from './node.js';
export {
  type CreateQcow2Options,
  createQcow2,
  type FormatQcow2Options,
  formatQcow2,
} from './qcow2/create.js';
export { type OpenQcow2Options, openQcow2, type Qcow2Node } from './qcow2/node.js';

export type OpenImageOptions = Omit<OpenFileOptions, 'create'>;

/**
 * Opens a qcow2 image file.
 * @throws IoError, ImageError NOT_QCOW2, MALFORMED, UNSUPPORTED, CORRUPT
 */
export function openImage(path: string, options: OpenImageOptions = {}): BlockNode {
  const file = openFile(path, options);
  try {
    return openQcow2(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** What an image is, for a user's eyes. */
export interface ImageInfo {
  readonly format: string;
  readonly version: number | undefined;
  readonly clusterSize: number | undefined;
  readonly virtualSize: number;
  /** The backing file as the image names it. */
  readonly backing: string | undefined;
  readonly snapshots: readonly { readonly id: string; readonly name: string }[];
}

export function imageInfo(node: BlockNode): ImageInfo {
  for (let at: BlockNode | undefined = node; at !== undefined; at = at.file) {
    if (!(at instanceof Qcow2Node)) continue;
    return {
      format: at.driver,
      version: at.header.version,
      clusterSize: at.geometry.clusterSize,
      virtualSize: at.length,
      backing: undefined,
      snapshots: [],
    };
  }
  throw new ImageError('ERR_IMAGE_NOT_QCOW2', node.path, ['no qcow2 image is open here']);
}
