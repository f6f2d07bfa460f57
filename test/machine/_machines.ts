/** Machines over images and simulated disks, guests in them, and what is kept in their stores. */
import { type BlockNode, createQcow2, openImage, withLock } from '../../src/block/index.js';
import { Tpm12Client } from '../../src/guest/index.js';
import { Machine, type MachineOptions, Tpm12 } from '../../src/index.js';
import { type ActiveStore, formatStore, type Key, openStore } from '../../src/nvram/index.js';
import { systemClock as clock, systemEntropy as entropy } from '../../src/system.js';
import { SimulatedDisk } from '../../src/testing/index.js';
import { TisDriver } from '../../src/tis/index.js';

/** What a test may set, besides the image. */
export type More = Partial<Omit<MachineOptions, 'image' | 'store'>>;

export const optionsOn = (image: BlockNode, more: More = {}): MachineOptions => ({
  image,
  entropy,
  engine: () => new Tpm12({ entropy, clock }),
  ...more,
});

export const machineOn = (image: BlockNode, more: More = {}): Machine =>
  new Machine(optionsOn(image, more));

/** A guest that goes through the registers. */
export function guestOf(machine: Machine): Tpm12Client {
  const driver = new TisDriver(machine.tis);
  return new Tpm12Client(command => driver.transmit(command), entropy);
}

/** A disk with a store in it that holds nothing yet. */
export function blankDisk(bytes = 1024 * 1024, key?: Key): SimulatedDisk {
  const disk = new SimulatedDisk(bytes);
  withLock(disk, undefined, locked => formatStore(locked, { entropy, ...(key && { key }) }));
  return disk;
}

/** A new image file with a store in it that holds nothing yet. */
export function newImage(path: string, size = 1024 * 1024): void {
  createQcow2(path, { size });
  using image = openImage(path);
  withLock(image, undefined, disk => formatStore(disk, { entropy }));
}

/** Acts on the store of an image whose machine is off, as another program would. */
export function inStore(image: BlockNode, act: (store: ActiveStore) => void): void {
  const store = withLock(image, undefined, disk => openStore(disk, { entropy }).activate());
  act(store);
  store.close();
}
