/** Small stores on simulated disks, and what is in them. */
import { type BlockNode, withLock } from '../../src/block/index.js';
import {
  type ActiveStore,
  AREA_BYTES_MIN,
  type FormatOptions,
  formatStore,
  type Inspection,
  type InspectOptions,
  inspectStore,
  type Key,
  NvramError,
  type OpenPolicy,
  type OpenStoreOptions,
  openStore,
  repairStore,
} from '../../src/nvram/index.js';
import { SimulatedDisk } from '../../src/testing/index.js';

export const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(0x42);

// Each of these is one lock cycle.

export const format = (node: BlockNode, more: Partial<FormatOptions> = {}): void =>
  withLock(node, undefined, disk => formatStore(disk, { entropy, ...more }));

export const activated = (node: BlockNode, more: OpenStoreOptions & OpenPolicy = {}): ActiveStore =>
  withLock(node, undefined, disk => openStore(disk, { entropy, ...more }).activate());

export const inspected = (node: BlockNode, options?: InspectOptions): Inspection =>
  withLock(node, undefined, disk => inspectStore(disk, options));

export const repaired = (node: BlockNode, options: OpenStoreOptions = {}): boolean =>
  withLock(node, undefined, disk => repairStore(disk, { entropy, ...options }));

/** A disk with a formatted store and nothing in it. */
export function formatted(more: Partial<FormatOptions> = {}): SimulatedDisk {
  const disk = new SimulatedDisk(AREA_BYTES_MIN);
  format(disk, { areaLength: AREA_BYTES_MIN, ...more });
  return disk;
}

export const KEY: Key = { kind: 'key', bytes: new Uint8Array(32).fill(0x11) };
export const OTHER_KEY: Key = { kind: 'key', bytes: new Uint8Array(32).fill(0x22) };

/** Opens the store as its next instance would, and says what it holds, or why it cannot be opened. */
export function opened(disk: BlockNode, key?: Key, name = 'permall'): string {
  try {
    const bytes = activated(disk, { key }).load(name);
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
export function contents(node: BlockNode, name = 'permall'): string {
  return withLock(node, undefined, disk => {
    const { verdict, state } = inspectStore(disk);
    if (state === undefined) return verdict;
    const { entries } = state.directory;
    const entry = entries.find(each => each.name === name && each.lastGeneration === 0);
    if (entry === undefined) return `${verdict}: none`;
    const bytes = disk.read(entry.offset, entry.length);
    return `${verdict}: ${bytes.length} × ${bytes[0]}`;
  });
}

/** A cleanly closed store that has seen several generations of several blobs. */
export function wellUsed(): SimulatedDisk {
  const disk = formatted();
  const store = activated(disk);
  store.store('permall', blob(1169, 1));
  store.store('savestate', blob(970, 2));
  store.store('permall', blob(2050, 3));
  store.store('permall', blob(2050, 4));
  store.close();
  return disk;
}
