/**
 * `nvtpm/testing`: what a user's own tests import. Faulty disks, power cuts, flipped bits, every
 * interleaving of two instances.
 * @module
 */
export { type Effect, type Fault, FaultNode, type Operation } from './fault.js';
export { everyFlip, type Flip } from './flips.js';
export {
  type Actor,
  everyInterleaving,
  type Interleaving,
  type InterleavingOptions,
} from './interleaving.js';
export type { Stage } from './interleaving-actor.js';
export { everyPowerCut, type PowerCutOptions, type Wreckage } from './power-cut.js';
export { PowerCut, SECTOR_BYTES, SimulatedDisk } from './simulated-disk.js';
