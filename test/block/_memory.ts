/** A node over memory: what the qcow2 code needs of a file, without one. */
import { type BlockNode, ImageError } from '../../src/block/node.js';

export class MemoryNode implements BlockNode {
  readonly driver = 'memory';
  readonly path = 'memory';
  readonly readOnly: boolean;
  readonly file = undefined;
  bytes: Uint8Array<ArrayBuffer>;
  /** What was done to it, in order. */
  readonly log: { readonly what: 'read' | 'write' | 'flush'; offset: number; length: number }[] =
    [];

  constructor(bytes = new Uint8Array(0), readOnly = false) {
    this.bytes = bytes;
    this.readOnly = readOnly;
  }

  get length(): number {
    return this.bytes.length;
  }

  read(offset: number, length: number): Uint8Array {
    if (offset < 0 || offset + length > this.length) {
      throw new ImageError('ERR_IMAGE_RANGE', this.path, [`read of ${length} at ${offset}`]);
    }
    this.log.push({ what: 'read', offset, length });
    return this.bytes.slice(offset, offset + length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.log.push({ what: 'write', offset, length: bytes.length });
    if (offset + bytes.length > this.length) this.#resize(offset + bytes.length);
    this.bytes.set(bytes, offset);
  }

  flush(): void {
    this.log.push({ what: 'flush', offset: 0, length: 0 });
  }

  truncate(length: number): void {
    this.#resize(length);
  }

  invalidate(): void {}

  close(): void {}

  [Symbol.dispose](): void {}

  #resize(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.bytes.subarray(0, length));
    this.bytes = bytes;
  }
}
