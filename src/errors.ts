/**
 * What every error of this package has in common: a `code` from a closed set, so that callers
 * branch on it and never on the sentence, and a message that says what happened, to what, and what
 * to do about it.
 * @module
 */

/**
 * How a run of nvtpm can end. Outcomes are never conflated: a tool that merges "empty" with "corrupt"
 * makes a new TPM over the old one. `cli/exit-codes.ts` has the exit code of each.
 */
export type Outcome =
  | 'OK'
  | 'FAILED'
  | 'USAGE'
  | 'EMPTY'
  | 'CORRUPT'
  | 'KEY_REQUIRED'
  | 'WRONG_KEY'
  | 'REVISION'
  | 'TOO_SMALL'
  | 'LOCKED'
  | 'FENCED'
  | 'IMAGE'
  | 'IO';

/** The base of all errors that leave this package. */
export abstract class NvtpmError extends Error {
  /** Which error of its class this is. */
  abstract readonly code: string;
  /** Which of the outcomes of a run it leads to. */
  abstract readonly outcome: Outcome;
}

/** A file operation that the system refused. */
export class IoError extends NvtpmError {
  override readonly name = 'IoError';
  readonly outcome = 'IO';
  readonly code = 'IO';
  /** The system's own name of the trouble: ENOENT, EACCES, ENOSPC, EIO, … */
  readonly errno: string;
  /** What was tried: open, read, write, fdatasync, … */
  readonly operation: string;
  readonly path: string;

  constructor(operation: string, path: string, cause: unknown) {
    const errno = errnoOf(cause);
    super(`cannot ${operation} ${path}: ${ADVICE[errno] ?? plain(cause)}`, { cause });
    this.errno = errno;
    this.operation = operation;
    this.path = path;
  }
}

/** What to do about the usual errnos. */
// biome-ignore format: table
const ADVICE: Readonly<Record<string, string>> = {
  ENOENT:  'there is no such file or directory (ENOENT); check the path, or make it first',
  EACCES:  'permission denied (EACCES); make the file and its directory accessible to this user',
  EPERM:   'operation not permitted (EPERM); check the owner and the attributes of the file',
  EROFS:   'the file system is read-only (EROFS); remount it writable or choose another place',
  ENOSPC:  'no space left on the file system (ENOSPC); free some and try again, what was stored before is intact',
  EDQUOT:  'the disk quota is used up (EDQUOT); free some space, what was stored before is intact',
  EFBIG:   'the file would pass the size limit (EFBIG); raise the limit (ulimit -f)',
  EEXIST:  'it exists already (EEXIST); choose another name or remove it first',
  EISDIR:  'it is a directory (EISDIR); name a file',
  ENOTDIR: 'a part of the path is not a directory (ENOTDIR); check the path',
  EMFILE:  'too many open files (EMFILE); raise the limit (ulimit -n)',
  ESTALE:  'the file was deleted, moved or replaced while it was in use (ESTALE); nothing more is stored in it; put it back and start again',
  EIO:     'the device reported an error (EIO); see the system log, and do not trust this disk',
};

/** The errno name that a thrown system error carries, or 'UNKNOWN'. */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : 'UNKNOWN';
}

const plain = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
