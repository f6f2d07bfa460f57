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
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errnoOf, IoError } from '../errors.js';
import { closeFile, type LockDriverFor, lockDriverFor } from '../lock/index.js';
import type { LockHolder, LockType } from '../lock/lock.js';
import { safeTrace, type Trace } from '../trace.js';
import { FileLocks } from './file-locks.js';
import { type Bytes, LockableNode, type LowerLock } from './lockable.js';
import { ImageError, type ProtocolNode } from './node.js';

/** How a file is opened and locked. */
export interface OpenFileOptions {
  readonly readOnly?: boolean;
  /** 'new': the file must not exist yet; it is made with mode 0600. */
  readonly create?: 'new';
  /** Receives every read, write and flush of the file. */
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

/** Fsyncs the parent directory, where supported, so that the name of a new file is durable. */
export function syncFolderOf(path: string): void {
  try {
    const folder = openSync(dirname(path), constants.O_RDONLY);
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // Windows and some network file systems cannot; the file's own bytes are durable anyway.
  }
}

/** A file of the system, at the bottom of a chain of nodes. */
export class FileNode extends LockableNode<LowerLock> implements ProtocolNode {
  readonly driver = 'file';
  readonly path: string;
  readonly readOnly: boolean;
  readonly file = undefined;
  /** @internal The guard and the locks of this file. */
  readonly locks: FileLocks;
  protected readonly bytes: FileBytes;
  readonly #lower: LowerLock;

  constructor(path: string, options: OpenFileOptions) {
    super();
    this.path = path;
    this.readOnly = options.readOnly ?? false;
    const trace = safeTrace(options.trace);
    this.bytes = new FileBytes(path, this.readOnly, options.create === 'new', trace);
    this.locks = new FileLocks({
      path,
      fd: () => this.bytes.fd,
      driver: options.lockDriver ?? lockDriverFor,
      trace,
    });
    this.#lower = { release: () => this.locks.release(), abandon: () => this.locks.release() };
  }

  peek(offset: number, length: number): Uint8Array {
    return this.bytes.peek(offset, length);
  }

  /** The holder that forbids a lock of this type, as far as the system tells. */
  lockHolder(type: LockType): LockHolder | undefined {
    return this.locks.holder(type);
  }

  /** Whether the path still names the file that is open. */
  isAtItsPath(): boolean {
    return this.bytes.isAtItsPath();
  }

  protected acquire(type: LockType): LowerLock | undefined {
    return this.locks.tryAcquire(type) ? this.#lower : undefined;
  }

  protected override begin(): void {
    this.bytes.forgetLength();
  }

  protected closeBelow(): void {
    this.bytes.close();
  }
}

class FileBytes implements Bytes {
  readonly #path: string;
  /** The absolute path on opening: the process may change its directory later. */
  readonly #absolute: string;
  readonly #readOnly: boolean;
  readonly #trace: Trace;
  #fd: number | undefined;
  #length: number | undefined;

  constructor(path: string, readOnly: boolean, create: boolean, trace: Trace) {
    this.#path = path;
    this.#absolute = resolve(path);
    this.#readOnly = readOnly;
    this.#trace = trace;
    this.#fd = openRegular(path, readOnly, create);
  }

  get fd(): number | undefined {
    return this.#fd;
  }

  /** As of the first look under this lock; the path must still name the file then. */
  get length(): number {
    this.#length ??= this.#attempt('use', fd => this.#sizeOf(fd));
    return this.#length;
  }

  forgetLength(): void {
    this.#length = undefined;
  }

  peek(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.#readInto(bytes, offset));
  }

  read(offset: number, length: number): Uint8Array {
    // Not filled with zeros first: all of it is read, or an error thrown.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    if (this.#readInto(bytes, offset) === length) return bytes;
    throw new IoError('read', this.#path, new Error(`it ends before ${offset + length} bytes`));
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#demandWritable();
    this.#trace({ event: 'write', path: this.#path, offset, length: bytes.length });
    const before = this.length;
    // A write that fails may have made the file longer.
    this.#length = undefined;
    this.#attempt('write', fd => {
      demandOffset(offset, bytes.length);
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
      }
    });
    this.#length = Math.max(before, offset + bytes.length);
  }

  flush(): void {
    if (this.#readOnly) return;
    this.#trace({ event: 'flush', path: this.#path });
    this.#attempt('flush', fd => fdatasyncSync(fd));
  }

  truncate(length: number): void {
    this.#demandWritable();
    this.#length = undefined;
    this.#attempt('resize', fd => ftruncateSync(fd, length));
    this.#length = length;
  }

  isAtItsPath(): boolean {
    return this.#attempt('use', fd => isAt(this.#absolute, fstatSync(fd)));
  }

  close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    closeFile(fd);
  }

  /** @returns how many bytes were read: less than asked for where the file ends */
  #readInto(bytes: Uint8Array, offset: number): number {
    const { length } = bytes;
    this.#trace({ event: 'read', path: this.#path, offset, length });
    return this.#attempt('read', fd => {
      demandOffset(offset, length);
      let done = 0;
      while (done < length) {
        const got = readSync(fd, bytes, done, length - done, offset + done);
        if (got === 0) break;
        done += got;
      }
      return done;
    });
  }

  /** The size of a file that is at its path: what is stored in another one would be lost. */
  #sizeOf(fd: number): number {
    const file = fstatSync(fd);
    if (isAt(this.#absolute, file)) return file.size;
    throw Object.assign(new Error('the path names another file'), { code: 'ESTALE' });
  }

  #demandWritable(): void {
    if (!this.#readOnly) return;
    throw new ImageError('READONLY', this.#path, ['the file was opened read-only']);
  }

  #attempt<T>(operation: string, work: (fd: number) => T): T {
    if (this.#fd === undefined) throw new IoError(operation, this.#path, new Error('it is closed'));
    try {
      return work(this.#fd);
    } catch (error) {
      throw error instanceof IoError ? error : new IoError(operation, this.#path, error);
    }
  }
}

/** Whether `path` names this very file. True where the system forbids looking it up. */
function isAt(path: string, { dev, ino }: Stats): boolean {
  try {
    const there = statSync(path);
    return there.dev === dev && there.ino === ino;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes(errnoOf(error));
  }
}

/** Node reads an offset past 2^53 as the current position, and damaged images have such offsets. */
function demandOffset(offset: number, length: number): void {
  if (offset >= 0 && Number.isSafeInteger(offset + length)) return;
  throw Object.assign(new Error(`${offset} is no offset in a file`), { code: 'EFBIG' });
}

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
