/** Small stores on simulated disks, and what is in them. */

import type { BlockNode } from '../../src/block/index.js';
import {
  AREA_BYTES_MIN,
  type FormatOptions,
  formatStore,
  inspectStore,
  type Key,
  NvramError,
  NvramStore,
} from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';

export const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(0x42);

/** A disk with a formatted store and nothing in it. */
export function formatted(more: Partial<FormatOptions> = {}): SimulatedDisk {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  formatStore(disk, { entropy, areaLength: AREA_BYTES_MIN, ...more });
  return disk;
}

export const KEY: Key = { kind: 'key', bytes: new Uint8Array(32).fill(0x11) };
export const OTHER_KEY: Key = { kind: 'key', bytes: new Uint8Array(32).fill(0x22) };

/** Opens the store as its next instance would, and says what it holds, or why it cannot be opened. */
export function opened(disk: SimulatedDisk, key?: Key, name = 'permall'): string {
  try {
    const options = { entropy, ...(key === undefined ? {} : { key }) };
    const bytes = NvramStore.activate(disk, options).load(name);
    return bytes === undefined ? 'none' : `${bytes.length} × ${bytes[0]}`;
  } catch (error) {
    if (error instanceof NvramError) return error.code;
    throw error;
  }
}

export const blob = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill);

/** Everything on the disk, as a power cut leaves it once all is flushed. */
export const platter = (disk: SimulatedDisk): Uint8Array => disk.read(0, disk.length);

/** The verdict, and what `name` holds where the store can be used. */
export function contents(disk: BlockNode, name = 'permall'): string {
  const { verdict, state } = inspectStore(disk);
  if (state === undefined) return verdict;
  const entry = state.directory.entries.find(each => each.name === name && each.until === 0);
  if (entry === undefined) return `${verdict}: none`;
  const bytes = disk.read(entry.offset, entry.length);
  return `${verdict}: ${bytes.length} × ${bytes[0]}`;
}

/** A cleanly closed store that has seen several generations of several blobs. */
export function wellUsed(): SimulatedDisk {
  const disk = formatted();
  const store = NvramStore.activate(disk);
  store.store('permall', blob(1169, 1));
  store.store('savestate', blob(970, 2));
  store.store('permall', blob(2050, 3));
  store.store('permall', blob(2050, 4));
  store.close();
  return disk;
}
