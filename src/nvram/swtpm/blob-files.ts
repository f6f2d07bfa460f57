/**
 * Files as `swtpm_ioctl --save TYPE FILE` writes them, and `--load TYPE FILE` reads them: named by type
 * (`permanent`, `volatile`, `savestate`), in the wrapper of a migration. swtpm_ioctl asks for decrypted
 * blobs, so only a migration key encrypts them. A blob that does not exist is an empty file.
 * @module
 */
import { readdirSync } from 'node:fs';
import { io } from './files.js';
import { type FolderForm, SwtpmFolder, type SwtpmOptions } from './folder.js';

const FORM: FolderForm = {
  fileOf: ({ ioctl }) => ioctl,
  wrapper: 'migrated',
  isEmptyAbsent: true,
};

/** Opens a folder of such files. @throws IoError */
export function openSwtpmBlobs(path: string, options: SwtpmOptions): SwtpmFolder {
  io('read', path, () => readdirSync(path));
  return new SwtpmFolder(path, FORM, options);
}
