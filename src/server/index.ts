/**
 * Faces of a machine towards other programs: qtest for tests, QMP for management.
 * @module
 */
export { type Address, FaceError, parseAddress } from './address.js';
export { type Ending, type ServeOptions, serve } from './serve.js';
