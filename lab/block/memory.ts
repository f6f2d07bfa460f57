/** A file in memory. Tests may read and write it without its lock. */
import { type Bytes, LockableNode, type LowerLock } from '../../src/block/lockable.js';
import type { ProtocolNode } from '../../src/block/node.js';
import { IoError } from '../../src/errors.js';

const FREE: LowerLock = { release: () => {}, abandon: () => {} };

export class MemoryNode extends LockableNode<LowerLock> implements ProtocolNode, Bytes {
  readonly driver = 'memory';
  readonly path = 'memory';
  readonly readOnly: boolean;
  readonly file = undefined;
  protected readonly bytes: Bytes = this;
  /** Room for more than there is, to grow into. */
  #room: Uint8Array;
  #length: number;
  /** Every operation, in order. */
  readonly log: { readonly what: 'read' | 'write' | 'flush'; offset: number; length: number }[] =
    [];

  readonly #limit: number;

  /** @param limit its largest length: more is EFBIG, as for a file of the host */
  constructor(bytes: Uint8Array = new Uint8Array(0), readOnly = false, limit = 64 * 2 ** 20) {
    super();
    this.#limit = limit;
    this.#room = bytes;
    this.#length = bytes.length;
    this.readOnly = readOnly;
  }

  get length(): number {
    return this.#length;
  }

  /** Its bytes, as a view. */
  get view(): Uint8Array {
    return this.#room.subarray(0, this.#length);
  }

  read(offset: number, length: number): Uint8Array {
    if (offset < 0 || offset + length > this.length) {
      // Not an error of the package: reading past the end is a bug of the caller.
      throw new RangeError(`read of ${length} bytes at ${offset} of ${this.length}`);
    }
    this.log.push({ what: 'read', offset, length });
    return this.view.slice(offset, offset + length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.log.push({ what: 'write', offset, length: bytes.length });
    if (offset + bytes.length > this.length) this.#resize(offset + bytes.length);
    this.view.set(bytes, offset);
  }

  flush(): void {
    this.log.push({ what: 'flush', offset: 0, length: 0 });
  }

  truncate(length: number): void {
    this.#resize(length);
  }

  peek(offset: number, length: number): Uint8Array {
    return this.view.slice(offset, offset + length);
  }

  lockHolder(): undefined {
    return undefined;
  }

  protected acquire(): LowerLock {
    return FREE;
  }

  protected closeBelow(): void {}

  #resize(length: number): void {
    if (length > this.#limit) {
      const cause = Object.assign(new Error('EFBIG'), { code: 'EFBIG' });
      throw new IoError('write', this.path, cause);
    }
    if (length < this.#length) this.#room.fill(0, length, this.#length);
    if (length > this.#room.length) {
      const room = new Uint8Array(Math.min(this.#limit, length + Math.max(2 ** 14, length / 4)));
      room.set(this.view);
      this.#room = room;
    }
    this.#length = length;
  }
}
