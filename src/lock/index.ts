/**
 * Locks on files, whole or by byte range, between processes.
 * @module
 */
export { lockDriverFor } from './drivers.js';
export * from './lock.js';
export { closeFile } from './registry.js';
export { type LockRequest, lock, lockAsync } from './request.js';
export { retry, retryAsync } from './wait.js';
