/**
 * Faces of a machine towards other programs: qtest for tests, QMP for management, and TPM commands
 * over sockets for who wants no machine around the TPM.
 * @module
 */
export { type Address, FaceError, parseAddress } from './address.js';
export {
  type BackendEnding,
  type BackendOptions,
  type Listening,
  STARTUP_TYPES,
  type StartupType,
  serveBackend,
} from './backend.js';
export { type Ending, type ServeOptions, serve } from './serve.js';
export {
  serveTpm,
  type TpmAddress,
  type TpmSocket,
  type TpmSocketOptions,
} from './tpm-socket.js';
