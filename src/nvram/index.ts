/**
 * `nvtpm/nvram`: named blobs on a block node, kept so that nothing acknowledged is lost and nothing
 * damaged is accepted.
 * @module
 */
export { type Assessment, assess, type Readable, type Region, type Verdict } from './assess.js';
export { NvramError, type NvramErrorCode } from './errors.js';
export {
  AREA_BYTES_DEFAULT,
  AREA_BYTES_MIN,
  type Directory,
  type Entry,
  type Mark,
  type MarkState,
  REVISION,
} from './layout.js';
export {
  type Changes,
  type FormatOptions,
  formatStore,
  inspectStore,
  NvramStore,
  type StoreOptions,
} from './store.js';
