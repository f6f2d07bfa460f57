/** What a guest at random keeps: keys, blobs, secrets. */
import type { RandomGuest } from './guest.js';

/** What a guest keeps of one kind, for as long as it lives or until the power goes. */
export class Kept<T> {
  readonly #lists = new WeakMap<object, T[]>();
  readonly #of: (guest: RandomGuest) => object;

  constructor(until: 'for good' | 'until the owner goes' | 'until the power goes') {
    const owners = {
      'for good': 'guest',
      'until the owner goes': 'reign',
      'until the power goes': 'power',
    } as const;
    const owner = owners[until];
    this.#of = guest => (owner === 'guest' ? guest : guest[owner]);
  }

  of(guest: RandomGuest): T[] {
    const owner = this.#of(guest);
    const list = this.#lists.get(owner) ?? [];
    this.#lists.set(owner, list);
    return list;
  }

  /** The latest are kept, `max` of them at most. */
  keep(guest: RandomGuest, item: T, max = 12): void {
    const list = this.of(guest);
    list.push(item);
    if (list.length > max) list.shift();
  }

  pick(guest: RandomGuest): T | undefined {
    return guest.pick(this.of(guest));
  }

  drop(guest: RandomGuest, item: T): void {
    const list = this.of(guest);
    const at = list.indexOf(item);
    if (at >= 0) list.splice(at, 1);
  }
}
