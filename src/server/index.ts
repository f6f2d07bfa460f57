/**
 * Interfaces of a machine for other programs: qtest for tests and QMP for management (`run`), and TPM
 * commands over a socket for programs that need no machine around the TPM (`serve`).
 * @module
 */
export { type Address, EndpointError, parseAddress } from './address.js';
export { type RunEnding, type RunOptions, runMachine } from './run.js';
export {
  type Listening,
  type MigrationOptions,
  type ServeEnding,
  type ServeOptions,
  STARTUP_TYPES,
  type StartupType,
  serveMachine,
} from './serve.js';
export type { TpmAddress } from './tpm-address.js';
export {
  openTpmSocket,
  type TpmSocket,
  type TpmSocketOptions,
} from './tpm-socket.js';
