/**
 * swtpm's state directory (`--tpmstate dir=…`): `tpm-00.permall` and others for a TPM 1.2, `tpm2-00.*`
 * for a TPM 2.0, and `.lock`. The number is always 00.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LockWait } from '../../lock/index.js';
import { SwtpmError } from './errors.js';
import { io } from './files.js';
import { type FolderForm, SwtpmFolder, type SwtpmOptions } from './folder.js';
import { lockFolder } from './folder-lock.js';

export type SwtpmVersion = '1.2' | '2.0';

const PREFIXES: Readonly<Record<SwtpmVersion, string>> = { '1.2': 'tpm-00', '2.0': 'tpm2-00' };
const VERSIONS = ['1.2', '2.0'] as const;

const permallOf = (version: SwtpmVersion): string => `${PREFIXES[version]}.permall`;

export interface SwtpmDirectoryOptions extends SwtpmOptions {
  /** Which TPM; where it is not given, the directory must hold the state of exactly one. */
  readonly version?: SwtpmVersion | undefined;
  /** How long to wait for swtpm's lock. */
  readonly wait?: LockWait;
}

/**
 * Opens a state directory, and holds swtpm's lock until it is closed.
 * @throws SwtpmError ABSENT, AMBIGUOUS, BACKUP; LockError LOCKED; IoError
 */
export function openSwtpmDirectory(path: string, options: SwtpmDirectoryOptions): SwtpmFolder {
  // Before the lock: a missing directory is reported as such, and not as a missing lock.
  io('read', path, () => readdirSync(path));
  const held = lockFolder(path, options.wait ?? { timeoutMs: 0 });
  try {
    const version = options.version ?? versionIn(path);
    return new SwtpmFolder(path, formOf(version), options, () => held.release());
  } catch (error) {
    held.release();
    throw error;
  }
}

/** The backups of permanent state in a directory, which swtpm 0.11 makes and this project ignores. */
export const swtpmBackupsIn = (path: string): readonly string[] =>
  VERSIONS.map(version => `${permallOf(version)}.bak`).filter(name => existsSync(join(path, name)));

const formOf = (version: SwtpmVersion): FolderForm => ({
  fileOf: ({ name }) => `${PREFIXES[version]}.${name}`,
  wrapper: 'stored',
  isEmptyAbsent: false,
});

function versionIn(path: string): SwtpmVersion {
  const there = VERSIONS.filter(version => existsSync(join(path, permallOf(version))));
  const [version, other] = there;
  if (other !== undefined) {
    throw new SwtpmError('AMBIGUOUS', path, 'it holds a TPM 1.2 and a TPM 2.0');
  }
  if (version !== undefined) return version;
  const [backup] = swtpmBackupsIn(path);
  if (backup === undefined)
    throw new SwtpmError('ABSENT', path, 'there is no state of swtpm in it');
  const why = `${backup.replace(/\.bak$/, '')} is missing, and there is its backup ${backup}`;
  throw new SwtpmError('BACKUP', path, why);
}
