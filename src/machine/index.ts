/**
 * The machine around a TPM: store, engine and front end, and the life cycle of a PC.
 * @module
 */
export type { Origin, StateBlobs } from './adopt.js';
export { MachineError, type MachineErrorCode } from './errors.js';
export {
  type Executor,
  executeWhenFree,
  failResponse,
  retryResponse,
  type Task,
  wasNotRun,
} from './execution.js';
export type { FrontOptions, Power } from './front.js';
export { HandedOverInstance } from './handed-over.js';
export { Instance } from './instance.js';
export { Machine, type MachineOptions, type Platform, type Waiting } from './machine.js';
export type { InstanceOptions, InstanceSettings } from './parts.js';
export type { InstanceState, MachineState, StorePosition } from './state.js';
export type { Storage, StoreInfo } from './storage.js';
export {
  type WorkerContext,
  WorkerMachine,
  type WorkerMachineOptions,
  type WorkerSetup,
} from './worker.js';
