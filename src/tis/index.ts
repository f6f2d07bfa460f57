/**
 * The TIS front end: a device to embed into an emulator, and the driver that talks to one.
 * @module
 */

export type { InterruptLine, TisBackend } from './backend.js';
export type { CommandState } from './command.js';
export { BUFFER_MAX, BUFFER_MIN, Tis, type TisOptions } from './device.js';
export {
  type Bus,
  TisDriver,
  TisDriverError,
  type TisDriverErrorCode,
  type TisDriverOptions,
  type TisIdentity,
} from './driver.js';
export type { InterruptState } from './interrupts.js';
export type { ArbiterState } from './locality.js';
export { LOCALITIES, LOCALITY_SPACE, type Personality, TIS_BASE, TIS_SPACE } from './registers.js';
export { type TisState, TisStateError, type TisStateErrorCode } from './saved.js';
