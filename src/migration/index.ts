/**
 * `nvtpm/migration`: moving a machine between two processes over an image that both can reach.
 * @module
 */
export { Channel, ChannelError, type ChannelWait } from './channel.js';
export { MigrationError, type MigrationErrorCode } from './errors.js';
export { type Manifest, makeManifest, readManifest } from './manifest.js';
export { type End, type MigrateOptions, type MigrationEnd, migrate } from './source.js';
export {
  type Movable,
  type TakeBackOptions,
  type TakeBackResult,
  takeBack,
} from './take-back.js';
export {
  type AcceptOptions,
  type Arrival,
  accept,
  type IncomingOptions,
  validateIncoming,
} from './target.js';
