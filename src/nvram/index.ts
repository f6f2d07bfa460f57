/**
 * `nvtpm/nvram`: named blobs, kept so that nothing acknowledged is lost and nothing damaged is
 * accepted.
 * @module
 */
export { NvramError, type NvramErrorCode } from './errors.js';
export { ActiveStore } from './image/active.js';
export type { Region, StoreState } from './image/assess.js';
export { Candidate, type OpenPolicy, openStore } from './image/candidate.js';
export { ENCRYPTION_EXTRA_BYTES, type Entropy, KEY_BYTES, type Key } from './image/cipher.js';
export { type FormatOptions, formatStore } from './image/format.js';
export { HandedOverStore } from './image/handed-over.js';
export { isCurrent, keptGenerations, type StoredState, statesOf } from './image/history.js';
export { type InspectOptions, inspectStore } from './image/inspect.js';
export {
  type AckRecord,
  type AckState,
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MAX,
  AREA_BYTES_MIN,
  type Directory,
  ENCRYPTION_KINDS,
  type Encryption,
  type Entry,
  HISTORY_LENGTH_MAX,
  REVISION,
  type SlotIndex,
} from './image/layout.js';
export type { Blob, OpenStoreOptions } from './image/opened.js';
export { type ReadBlobOptions, readBlob } from './image/read-blob.js';
export type { RekeyReport } from './image/rekey.js';
export { repairStore } from './image/repair.js';
export { faultOf, type Inspection, type Verdict } from './image/verdict.js';
export { MemoryStore, type MemoryStoreOptions } from './memory/store.js';
export {
  BLOB_BYTES_DEFAULT,
  BLOB_BYTES_MAX,
  type BlobName,
  type BlobStore,
  type Changes,
  type HandedOver,
  isBlobName,
  type StoreAbilities,
} from './store.js';
