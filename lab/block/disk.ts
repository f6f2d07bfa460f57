/** Short ways to a disk whose lock is held. */
import {
  type BlockNode,
  type LockedNode,
  type OpenImageOptions,
  openImage,
  withLock,
} from '../../src/block/index.js';

/** Runs `act` under the lock of `node`, and closes the node. */
export function usingNode<T>(node: BlockNode, act: (disk: LockedNode) => T): T {
  try {
    return withLock(node, { timeoutMs: 0 }, act);
  } finally {
    node.close();
  }
}

/** The same for an image file. */
export const using = <T>(
  path: string,
  act: (disk: LockedNode) => T,
  options: OpenImageOptions = {},
): T => usingNode(openImage(path, options), act);
