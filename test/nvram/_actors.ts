/** What the instances of interleavings.test.ts do. */
import { inspectStore, NvramStore } from '../../src/nvram/index.js';
import type { Stage } from '../../src/testing/index.js';
import { blob, entropy } from './_stores.js';

/** An instance that is active and stores once. */
export function active({ disk, begin }: Stage): string {
  const store = NvramStore.activate(disk, { entropy });
  begin();
  store.store('permall', blob(600, 7));
  return 'stored 7';
}

/** Another one. */
export function rival({ disk, begin }: Stage): string {
  const store = NvramStore.activate(disk, { entropy });
  begin();
  store.store('permall', blob(600, 8));
  return 'stored 8';
}

/** A migration target: looks, and then takes over and stores. */
export function incoming({ disk, begin }: Stage): string {
  begin();
  const found = inspectStore(disk).verdict;
  if (found !== 'OK') return `saw ${found}`;
  const store = NvramStore.activate(disk, { entropy });
  const before = store.load('permall')![0];
  store.store('permall', blob(600, 8));
  return `took over from ${before}, stored 8`;
}

/** A migration target that only looks. */
export function looking({ disk, begin }: Stage): string {
  begin();
  return `saw ${inspectStore(disk).verdict}`;
}

/** An instance whose fence is down: it writes without looking at the directories. */
export function reckless({ disk, begin }: Stage): string {
  const store = NvramStore.activate(disk, { entropy });
  begin();
  const { read } = disk;
  const remembered = new Map<number, Uint8Array>();
  for (const offset of [0, 65536]) remembered.set(offset, read.call(disk, offset, 512));
  disk.read = (offset, length) => remembered.get(offset)?.slice(0, length) ?? read(offset, length);
  store.store('permall', blob(600, 7));
  return 'stored 7';
}
