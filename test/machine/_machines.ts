/** Machines over images and simulated disks, and guests in them. */
import type { BlockNode } from '../../src/block/index.js';
import { clock, entropy } from '../../src/cli/images.js';
import { Machine, type MachineOptions, Tpm12 } from '../../src/index.js';
import { Tpm12Client } from '../../src/testing/guest/index.js';
import { TisDriver } from '../../src/tis/index.js';

export const machineOn = (image: BlockNode, more: Partial<MachineOptions> = {}): Machine =>
  new Machine({ image, entropy, engine: () => new Tpm12({ entropy, clock }), ...more });

/** A guest that goes through the registers. */
export function guestOf(machine: Machine): Tpm12Client {
  const driver = new TisDriver(machine.tis);
  return new Tpm12Client(command => driver.transmit(command), entropy);
}
