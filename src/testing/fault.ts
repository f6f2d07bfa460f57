/**
 * A node that fails on purpose: the n-th read, write, flush, resize or write-back of the node below
 * goes wrong in a given way. Scripted and deterministic, to be put between any two nodes.
 * @module
 */
import { type FilterBytes, FilterNode } from '../block/filter.js';
import type { LockedNode, ProtocolNode } from '../block/node.js';
import { IoError } from '../errors.js';

/** `writeBack`: the outermost release of the lock, which writes back what nodes still hold. */
export type Operation = 'read' | 'write' | 'flush' | 'truncate' | 'writeBack';

/** What goes wrong. */
// biome-ignore format: table
export type Effect =
  | { readonly kind: 'error'; readonly errno: string }                          // Nothing is done, and said so.
  | { readonly kind: 'short'; readonly bytes: number; readonly errno: string }  // A write ends early, and says so.
  | { readonly kind: 'torn';  readonly bytes: number }                          // A write ends early, and says nothing.
  | { readonly kind: 'drop' }                                                   // Nothing is done, and nothing said.
  | { readonly kind: 'delay'; readonly ms: number }; // Done, but late.

/** One scripted fault: the n-th operation of a kind goes wrong. */
export interface Fault {
  readonly on: Operation;
  /** Which operation of this kind, counted from 1 since the node was made. */
  readonly nth: number;
  /** How many in a row; default 1. Infinity for a disk that stays broken. */
  readonly times?: number;
  readonly effect: Effect;
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

export class FaultNode extends FilterNode<ProtocolNode> implements ProtocolNode {
  readonly driver = 'fault';
  protected readonly bytes: FaultyBytes;

  /** @param script of several faults for one operation, the first one happens */
  constructor(file: ProtocolNode, script: readonly Fault[]) {
    super(file);
    this.bytes = new FaultyBytes(script);
  }

  /** How many operations there were so far: where a script can be put. */
  get counts(): Readonly<Record<Operation, number>> {
    return { ...this.bytes.counts };
  }

  peek(offset: number, length: number): Uint8Array {
    return this.file.peek(offset, length);
  }

  protected override writeBack(): void {
    this.bytes.writeBack();
  }
}

class FaultyBytes implements FilterBytes {
  below!: LockedNode;
  readonly counts: Record<Operation, number> = {
    read: 0,
    write: 0,
    flush: 0,
    truncate: 0,
    writeBack: 0,
  };
  readonly #script: readonly Fault[];

  constructor(script: readonly Fault[]) {
    this.#script = script;
  }

  get length(): number {
    return this.below.length;
  }

  read(offset: number, length: number): Uint8Array {
    const effect = this.#next('read');
    // A read that ends early, or is dropped, returns zeros.
    if (effect?.kind === 'drop') return new Uint8Array(length);
    if (effect?.kind === 'torn' || effect?.kind === 'short') {
      const bytes = new Uint8Array(length);
      bytes.set(this.below.read(offset, Math.min(effect.bytes, length)));
      if (effect.kind === 'short') throw this.#error('read', effect.errno);
      return bytes;
    }
    return this.below.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    const effect = this.#next('write');
    if (effect?.kind === 'drop') return;
    if (effect?.kind === 'torn' || effect?.kind === 'short') {
      this.below.write(offset, bytes.subarray(0, effect.bytes));
      if (effect.kind === 'short') throw this.#error('write', effect.errno);
      return;
    }
    this.below.write(offset, bytes);
  }

  flush(): void {
    if (this.#next('flush')?.kind !== 'drop') this.below.flush();
  }

  truncate(length: number): void {
    if (this.#next('truncate')?.kind !== 'drop') this.below.truncate(length);
  }

  writeBack(): void {
    this.#next('writeBack');
  }

  /** Counts the operation; throws or waits if that is its fault, and returns any other effect. */
  #next(operation: Operation): Effect | undefined {
    const count = (this.counts[operation] += 1);
    const effect = this.#script.find(
      ({ on, nth, times = 1 }) => on === operation && count >= nth && count < nth + times,
    )?.effect;
    if (effect?.kind === 'error') throw this.#error(operation, effect.errno);
    if (effect?.kind === 'delay') Atomics.wait(sleeper, 0, 0, effect.ms);
    return effect;
  }

  #error(operation: Operation, errno: string): IoError {
    const cause = Object.assign(new Error(`${errno}: made on purpose`), { code: errno });
    return new IoError(operation, this.below.path, cause);
  }
}
