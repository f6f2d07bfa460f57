/**
 * A fixed number of places for what a TPM holds under handles: keys, sessions. What is removed
 * leaves a hole, and the next item takes the first one: the order is a part of the state, since a
 * TPM reports its handles and saves its sessions in it. Handles are drawn at random, never 0, never
 * one in use.
 * @module
 */
import { decode, u32 } from '../../wire/codec.js';
import type { Entropy } from '../engine.js';
import type { Fault } from './fault.js';

/** What one kind of item needs of its places. */
export interface SlotKind<T extends object> {
  /** How many places there are. */
  readonly count: number;
  readonly handleOf: (item: T) => number;
  readonly withHandle: (item: T, handle: number) => T;
  /** Overwrites the secrets of an item that is removed. */
  readonly wipe: (item: T) => void;
  /** Whether a handle may be given to an item of this kind; any may where this is absent. */
  readonly mayHave?: (handle: number) => boolean;
  /** The faults for: no free place; a wanted handle that is taken; no handle found. */
  readonly full: () => Fault;
  readonly taken: () => Fault;
  readonly exhausted: () => Fault;
}

/**
 * The handle that a loaded context had: it must keep it, or may get another where that is taken.
 */
export interface WantedHandle {
  readonly handle: number;
  readonly keep: boolean;
}

const DRAWS_MAX = 1000;

export class Slots<T extends object> implements Iterable<T> {
  readonly #kind: SlotKind<T>;
  readonly #places: (T | undefined)[];

  /** @param held by place; at most `kind.count`, holes included */
  constructor(kind: SlotKind<T>, held: readonly (T | undefined)[] = []) {
    this.#kind = kind;
    this.#places = Array.from({ length: kind.count }, (_, place) => held[place]);
  }

  /** Every place, holes included. */
  get places(): readonly (T | undefined)[] {
    return this.#places;
  }

  /** What is held, in the order of the places. */
  get all(): T[] {
    return this.#places.filter(item => item !== undefined);
  }

  *[Symbol.iterator](): Iterator<T> {
    yield* this.all;
  }

  get handles(): number[] {
    return this.all.map(this.#kind.handleOf);
  }

  /** How many places are free. */
  get free(): number {
    return this.#kind.count - this.all.length;
  }

  find(handle: number): T | undefined {
    const { handleOf } = this.#kind;
    for (const item of this.#places) {
      if (item !== undefined && handleOf(item) === handle) return item;
    }
    return undefined;
  }

  has(item: T): boolean {
    return this.#places.includes(item);
  }

  /** @throws Fault `full` where every place is taken */
  demandPlace(): void {
    if (!this.#places.includes(undefined)) throw this.#kind.full();
  }

  /**
   * Holds `item` at the first free place, under a handle that no other has.
   * @throws Fault `full`, `taken`
   */
  add(item: T, entropy: Entropy, wanted?: WantedHandle): T {
    this.demandPlace();
    const held = this.#kind.withHandle(item, this.#takeHandle(entropy, wanted));
    this.#places[this.#places.indexOf(undefined)] = held;
    return held;
  }

  #takeHandle(entropy: Entropy, wanted: WantedHandle | undefined): number {
    if (wanted !== undefined && this.#isFree(wanted.handle)) return wanted.handle;
    if (wanted?.keep === true) throw this.#kind.taken();
    for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
      const handle = decode(u32, entropy(4));
      if (this.#isFree(handle)) return handle;
    }
    throw this.#kind.exhausted();
  }

  #isFree(handle: number): boolean {
    const may = this.#kind.mayHave?.(handle) ?? true;
    return handle !== 0 && may && this.find(handle) === undefined;
  }

  /** Removes what has `handle`, and wipes it; false where nothing has it. */
  remove(handle: number): boolean {
    const item = this.find(handle);
    if (item === undefined) return false;
    this.#places[this.#places.indexOf(item)] = undefined;
    this.#kind.wipe(item);
    return true;
  }

  /** Removes and wipes everything. */
  clear(): void {
    for (const item of this.all) this.remove(this.#kind.handleOf(item));
  }
}
