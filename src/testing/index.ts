/**
 * `nvtpm/testing`: what a user's own tests import. Faulty disks, power cuts, flipped bits.
 * @module
 */
export { type Effect, type Fault, FaultNode, type Operation } from './fault.js';
export { everyFlip, type Flip } from './flips.js';
export { everyPowerCut, type PowerCutOptions, type Wreckage } from './power-cut.js';
export { PowerCut, SECTOR_BYTES, SimulatedDisk } from './simulated-disk.js';
