/**
 * `nvtpm/nvram`: named blobs on a block node, kept so that nothing acknowledged is lost and nothing
 * damaged is accepted.
 * @module
 */
export { type Assessment, assess, type Readable, type Region, type Verdict } from './assess.js';
export { inspectStore, type StoreOptions } from './cycle.js';
export { NvramError, type NvramErrorCode } from './errors.js';
export { type FormatOptions, formatStore, KEEP_MAX } from './format.js';
export { isCurrent, keptGenerations } from './history.js';
export {
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MIN,
  BLOB_BYTES_DEFAULT,
  type Directory,
  type Entry,
  type Mark,
  type MarkState,
  REVISION,
  SEALING_KINDS,
} from './layout.js';
export {
  ActiveStore,
  type BlobStore,
  Candidate,
  HandedOverStore,
  openStore,
} from './provisional.js';
export { KEY_BYTES, type Key, SEALED_EXTRA_BYTES } from './seal.js';
export { type ActivateOptions, type Blob, type Changes, NvramStore } from './store.js';
