/**
 * Leaving a machine and coming to one, over an image that both can reach.
 * @module
 */
export { ChannelError } from './channel.js';
export { type Manifest, MigrationError, type MigrationErrorCode } from './manifest.js';
export { type MigrateOptions, migrate } from './source.js';
export { accept, validateIncoming } from './target.js';
