/** What the instances of interleavings.test.ts do. */

import { activated, blob, entropy, inspected } from '../../lab/store/stores.js';
import { type BlockNode, withLock } from '../../src/block/index.js';
import { type ActiveStore, openStore } from '../../src/nvram/index.js';
import type { Stage } from '../../src/testing/index.js';

/** An instance that is active and stores once. */
export function active({ disk, begin }: Stage): string {
  const store = activated(disk);
  begin();
  store.store('permall', blob(600, 7));
  return 'stored 7';
}

/** Another one. */
export function rival({ disk, begin }: Stage): string {
  const store = activated(disk);
  begin();
  store.store('permall', blob(600, 8));
  return 'stored 8';
}

/** A migration target: looks, and then takes over and stores. */
export function incoming({ disk, begin }: Stage): string {
  begin();
  const found = inspected(disk).verdict;
  if (found !== 'OK') return `saw ${found}`;
  const store = activated(disk);
  const before = store.load('permall')![0];
  store.store('permall', blob(600, 8));
  return `took over from ${before}, stored 8`;
}

/** A migration target that only looks. */
export function looking({ disk, begin }: Stage): string {
  begin();
  return `saw ${inspected(disk).verdict}`;
}

/** An instance whose fence is down: it writes without looking at the directories. */
export function reckless({ disk, begin }: Stage): string {
  const store = activated(disk);
  begin();
  freezeHeads(disk);
  store.store('permall', blob(600, 7));
  return 'stored 7';
}

/** From now on the directories read as they are at the first look. */
function freezeHeads(disk: BlockNode): void {
  const remembered = new Map<number, Uint8Array>();
  withLock(disk, undefined, locked => {
    for (const offset of [0, 65536]) remembered.set(offset, locked.read(offset, 512));
  });
  const { tryLock } = disk;
  disk.tryLock = type => {
    const locked = tryLock.call(disk, type);
    if (locked === undefined) return undefined;
    const { read } = locked;
    locked.read = (offset, length) => remembered.get(offset) ?? read.call(locked, offset, length);
    return locked;
  };
}

/** A source that has handed over, and takes back since no answer came. */
export function returning({ disk, begin }: Stage): string {
  const left = activated(disk).handOver();
  begin();
  return goOn(left.resume());
}

function goOn(store: ActiveStore): string {
  try {
    store.store('permall', blob(600, 7));
    return 'took back, stored 7';
  } catch (error) {
    return `took back, then ${(error as { code?: string }).code}`;
  }
}

/** A source that stores, hands over, and takes back. */
export function hesitant({ disk, begin }: Stage): string {
  const store = activated(disk);
  begin();
  return goOn(store.handOver().resume());
}

/** A destination that takes over what is handed over, and nothing else, in one lock cycle. */
export function arriving({ disk, begin }: Stage): string {
  begin();
  const store = withLock(disk, undefined, locked => {
    const candidate = openStore(locked, { entropy });
    if (candidate.ackState === 'handed-over') return candidate.activate();
    candidate.discard();
    return undefined;
  });
  if (store === undefined) return 'was not handed over';
  const before = store.load('permall')![0];
  store.store('permall', blob(600, 8));
  return `took over from ${before}, stored 8`;
}

/** The next instance, whatever state the one before has left. */
export function following({ disk, begin }: Stage): string {
  begin();
  const store = activated(disk);
  const before = store.load('permall')![0];
  store.store('permall', blob(600, 8));
  return `found ${before}, stored 8`;
}

/** A source that takes back without a look at the image. */
export function rash({ disk, begin }: Stage): string {
  const left = activated(disk).handOver();
  freezeHeads(disk);
  begin();
  left.resume().store('permall', blob(600, 7));
  return 'took back, stored 7';
}
