/**
 * The raw node: the disk is the file, byte for byte.
 * @module
 */
import { type FilterBytes, FilterNode } from './filter.js';
import type { BlockNode, LockedNode } from './node.js';
import { demandRange } from './range.js';

/** A disk on `file`, which the node then owns. */
export const openRaw = (file: BlockNode): BlockNode => new RawNode(file);

class RawNode extends FilterNode<BlockNode> {
  readonly driver = 'raw';
  protected readonly bytes = new RawBytes();
}

class RawBytes implements FilterBytes {
  below!: LockedNode;

  get length(): number {
    return this.below.length;
  }

  read(offset: number, length: number): Uint8Array {
    demandRange(this.below.path, this, offset, length);
    return this.below.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    demandRange(this.below.path, this, offset, bytes.length);
    this.below.write(offset, bytes);
  }

  flush(): void {
    this.below.flush();
  }

  truncate(length: number): void {
    this.below.truncate(length);
  }
}
