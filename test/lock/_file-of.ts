/** The file at the bottom of a chain of nodes. */
import assert from 'node:assert/strict';
import { FileNode } from '../../src/block/file.js';
import type { BlockNode } from '../../src/block/index.js';

export function fileOf(node: BlockNode): FileNode {
  let at = node;
  while (at.file !== undefined) at = at.file;
  assert(at instanceof FileNode);
  return at;
}
