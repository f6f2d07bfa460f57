/**
 * The raw node: the disk is the file, byte for byte.
 * @module
 */
import type { LockHolder, LockType } from '../lock/lock.js';
import { type Bytes, LockableNode } from './lockable.js';
import type { BlockNode, LockedNode } from './node.js';
import { demandRange } from './range.js';

/** A disk on `file`, which the node then owns. */
export const openRaw = (file: BlockNode): BlockNode => new RawNode(file);

class RawNode extends LockableNode {
  readonly driver = 'raw';
  readonly file: BlockNode;
  protected readonly bytes: RawBytes;

  constructor(file: BlockNode) {
    super();
    this.file = file;
    this.bytes = new RawBytes();
  }

  get path(): string {
    return this.file.path;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  lockHolder(type: LockType): LockHolder | undefined {
    return this.file.lockHolder(type);
  }

  protected acquire(type: LockType): LockedNode | undefined {
    return this.file.tryLock(type);
  }

  protected override begin(below: LockedNode): void {
    this.bytes.below = below;
  }

  protected closeBelow(): void {
    this.file.close();
  }
}

class RawBytes implements Bytes {
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
