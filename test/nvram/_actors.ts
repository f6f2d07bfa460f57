/** What the instances of interleavings.test.ts do. */
import { withLock } from '../../src/block/index.js';
import type { Stage } from '../../src/testing/index.js';
import { activated, blob, inspected } from './_stores.js';

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
  store.store('permall', blob(600, 7));
  return 'stored 7';
}
