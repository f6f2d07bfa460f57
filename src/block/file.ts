/**
 * The file node: bytes of a regular file of the host, and the lock of that open file. Locks sit
 * here, as in the 2011 patch, but one counter for each open image and not one for the driver.
 * @module
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { IoError } from '../errors.js';
import { closeFile, type LockDriverFor, lockDriverFor } from '../lock/index.js';
import { noTrace, type Trace } from '../trace.js';
import { FileLocks } from './file-locks.js';
import { type BlockNode, ImageError } from './node.js';

export interface OpenFileOptions {
  readonly readOnly?: boolean;
  /** 'new': the file must not exist yet; it is made with mode 0600. */
  readonly create?: 'new';
  /** Told of every read, write and flush of the file. */
  readonly trace?: Trace;
  /** How the file is locked; called once, when the first lock is acquired. */
  readonly lockDriver?: LockDriverFor;
}

/**
 * Opens a regular file.
 * @throws IoError
 */
export function openFile(path: string, options: OpenFileOptions = {}): FileNode {
  return new FileNode(path, options);
}

/** Makes the name of a new file durable, where the file system offers that. */
export function syncFolderOf(path: string): void {
  try {
    const folder = openSync(dirname(path), constants.O_RDONLY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // Windows and some network file systems cannot; the file's own bytes are durable all the same.
  }
}

export class FileNode implements BlockNode {
  readonly driver = 'file';
  readonly path: string;
  readonly readOnly: boolean;
  readonly file = undefined;
  readonly locks: FileLocks;
  readonly #trace: Trace;
  #fd: number | undefined;
  #length: number | undefined;

  constructor(path: string, options: OpenFileOptions) {
    this.path = path;
    this.readOnly = options.readOnly ?? false;
    this.#trace = options.trace ?? noTrace;
    this.#fd = openRegular(path, this.readOnly, options.create === 'new');
    this.locks = new FileLocks({
      path,
      fd: () => this.#fd,
      driver: options.lockDriver ?? lockDriverFor,
      trace: this.#trace,
    });
  }

  /** As of the last time that somebody looked: remembered until invalidate(). */
  get length(): number {
    this.#length ??= this.#attempt('use', sizeOf);
    return this.#length;
  }

  read(offset: number, length: number): Uint8Array {
    // Not filled with zeros first: all of it is read, or an error thrown.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    this.#trace({ event: 'read', path: this.path, offset, length });
    this.#attempt('read', fd => {
      demandOffset(offset, length);
      for (let done = 0; done < length; ) {
        const got = readSync(fd, bytes, done, length - done, offset + done);
        if (got === 0) throw new Error(`it ends before ${offset + length} bytes`);
        done += got;
      }
    });
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.readOnly) throw new ImageError('ERR_IMAGE_READONLY', this.path, [OPENED_READ_ONLY]);
    this.#trace({ event: 'write', path: this.path, offset, length: bytes.length });
    this.#attempt('write', fd => {
      demandOffset(offset, bytes.length);
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
      }
    });
    if (this.#length !== undefined) this.#length = Math.max(this.#length, offset + bytes.length);
  }

  flush(): void {
    if (this.readOnly) return;
    this.#trace({ event: 'flush', path: this.path });
    this.#attempt('flush', fd => fdatasyncSync(fd));
  }

  truncate(length: number): void {
    if (this.readOnly) throw new ImageError('ERR_IMAGE_READONLY', this.path, [OPENED_READ_ONLY]);
    this.#attempt('resize', fd => ftruncateSync(fd, length));
    this.#length = length;
  }

  invalidate(): void {
    this.#length = undefined;
  }

  /** Closing drops whatever is still locked. */
  close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    this.locks.dropped();
    closeFile(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #attempt<T>(operation: string, work: (fd: number) => T): T {
    if (this.#fd === undefined) throw new IoError(operation, this.path, new Error('it is closed'));
    try {
      return work(this.#fd);
    } catch (error) {
      throw error instanceof IoError ? error : new IoError(operation, this.path, error);
    }
  }
}

/** Node takes an offset past 2^53 for "wherever the file stands", and damaged images have such. */
function demandOffset(offset: number, length: number): void {
  if (offset >= 0 && Number.isSafeInteger(offset + length)) return;
  throw Object.assign(new Error(`${offset} is no offset in a file`), { code: 'EFBIG' });
}

/** The size of a file that still has a name: one that was deleted would take what is stored along. */
function sizeOf(fd: number): number {
  const { size, nlink } = fstatSync(fd);
  if (nlink > 0) return size;
  throw Object.assign(new Error('the file was deleted'), { code: 'ESTALE' });
}

const OPENED_READ_ONLY = 'the file was opened read-only';

function openRegular(path: string, readOnly: boolean, create: boolean): number {
  const access = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  const making = create ? constants.O_CREAT | constants.O_EXCL : 0;
  let fd: number | undefined;
  try {
    // Non-blocking, because opening a FIFO would wait for its other end.
    fd = openSync(path, access | making | (constants.O_NONBLOCK ?? 0), 0o600);
    if (!fstatSync(fd).isFile()) throw new Error('it is not a regular file; name an image file');
    return fd;
  } catch (error) {
    if (fd !== undefined) closeFile(fd);
    throw new IoError(create ? 'create' : 'open', path, error);
  }
}
