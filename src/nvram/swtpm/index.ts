/**
 * State in swtpm's format, as stores: a state directory, a linear store, and files of swtpm_ioctl.
 * @module
 */
export { type SwtpmKeys, unwrapBlob, wrapBlob, wrapPlainBlob } from './blob.js';
export { openSwtpmBlobs } from './blob-files.js';
export {
  openSwtpmDirectory,
  type SwtpmDirectoryOptions,
  type SwtpmVersion,
  swtpmBackupsIn,
} from './directory.js';
export { SwtpmError, type SwtpmErrorCode } from './errors.js';
export { SwtpmFolder, type SwtpmOptions } from './folder.js';
export { deriveSwtpmKey, SWTPM_KDFS, SWTPM_MODES, type SwtpmKdf } from './keys.js';
export { SwtpmLinear } from './linear.js';
export { SWTPM_BLOBS, type SwtpmBlobName } from './names.js';
