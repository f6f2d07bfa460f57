/**
 * The raw node: the disk is the file, byte for byte.
 * @module
 */
import { type BlockNode, ImageError } from './node.js';

/** A disk on `file`, which the node then owns. */
export function openRaw(file: BlockNode): BlockNode {
  return new RawNode(file);
}

class RawNode implements BlockNode {
  readonly driver = 'raw';
  readonly file: BlockNode;

  constructor(file: BlockNode) {
    this.file = file;
  }

  get path(): string {
    return this.file.path;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  get length(): number {
    return this.file.length;
  }

  read(offset: number, length: number): Uint8Array {
    this.#demandRange(offset, length);
    return this.file.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#demandRange(offset, bytes.length);
    this.file.write(offset, bytes);
  }

  flush(): void {
    this.file.flush();
  }

  truncate(length: number): void {
    this.file.truncate(length);
  }

  invalidate(): void {}

  close(): void {
    this.file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A disk does not grow because somebody writes behind it. */
  #demandRange(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.length) return;
    throw new ImageError('ERR_IMAGE_RANGE', this.path, [
      `bytes ${offset} to ${offset + length} are not all on the disk of ${this.length} bytes`,
    ]);
  }
}
