/**
 * `--key`, spelt as swtpm spells it: `file=PATH,format=hex|binary[,remove=true]` or
 * `pwdfile=PATH[,remove=true]`. What was read is wiped from the buffer that it was read into.
 * @module
 */
import { closeSync, fstatSync, openSync, readFileSync, rmSync, type Stats } from 'node:fs';
import { IoError } from '../errors.js';
import { KEY_BYTES, type Key } from '../nvram/index.js';
import { fieldsOf } from './fields.js';
import { type Printer, UsageError } from './output.js';

const KEY_FILE_BYTES_MAX = 4096;
const FORM = 'file=PATH[,format=hex|binary][,remove=true] or pwdfile=PATH[,remove=true]';

/** A key, and the file that it came from. */
export interface KeyFile {
  readonly key: Key;
  /**
   * Called once the key has opened, or encrypted, a store: removes the file with `remove=true`.
   * @throws IoError
   */
  readonly used: () => void;
}

interface KeyOption {
  readonly kind: 'key' | 'password';
  readonly path: string;
  readonly format: 'hex' | 'binary';
  readonly remove: boolean;
}

/** @throws UsageError, IoError */
export function readKey(text: string, printer: Pick<Printer, 'warn'>): KeyFile {
  const option = parse(text);
  const content = readSecret(option.path, printer);
  try {
    return { key: keyOf(option, content), used: () => option.remove && remove(option.path) };
  } finally {
    content.fill(0);
  }
}

/** The text is not repeated in messages: it may be a secret, given by mistake. */
function parse(text: string): KeyOption {
  const refuse = (why: string): never => {
    throw new UsageError(`invalid --key: ${why}; expected ${FORM}`);
  };
  const fields = new Map<string, string>();
  for (const [name, value] of fieldsOf(text)) {
    if (!['file', 'pwdfile', 'format', 'remove'].includes(name)) refuse('an unknown field');
    if (fields.has(name)) refuse(`${name} is given twice`);
    fields.set(name, value);
  }
  const file = fields.get('file');
  const pwdfile = fields.get('pwdfile');
  if (file !== undefined && pwdfile !== undefined) refuse('file and pwdfile exclude each other');
  const path = file ?? pwdfile ?? '';
  if (path === '') return refuse('no file is named');
  const format = fields.get('format') ?? 'hex';
  if (format !== 'hex' && format !== 'binary') return refuse('format is hex or binary');
  if (pwdfile !== undefined && fields.has('format')) refuse('a password file has no format');
  const removal = fields.get('remove') ?? 'false';
  if (removal !== 'true' && removal !== 'false') refuse('remove is true or false');
  return {
    kind: file === undefined ? 'password' : 'key',
    path,
    format,
    remove: removal === 'true',
  };
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw new IoError('remove the key file', path, error);
  }
}

/**
 * The content of a key file, for the caller to wipe.
 * @param from its path, or an inherited descriptor, which is read to its end
 * @throws UsageError, IoError
 */
export function readSecret(from: string | number, printer: Pick<Printer, 'warn'>): Uint8Array {
  const path = typeof from === 'number' ? `descriptor ${from}` : from;
  let fd: number | undefined;
  try {
    fd = typeof from === 'number' ? from : openSync(from, 'r');
    demandKeyFile(path, fstatSync(fd), printer);
    const content = readFileSync(fd);
    // A plain view: Buffer.slice() shares memory, and a key would be wiped with the content.
    return new Uint8Array(content.buffer, content.byteOffset, content.length);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new IoError('read the key file', path, error);
  } finally {
    if (fd !== undefined && fd !== from) closeSync(fd);
  }
}

const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_OTHERS = 0o044;

/**
 * Write access to a key file is control of the key, read access is the key. Windows has no such modes.
 * @throws UsageError
 */
function demandKeyFile(path: string, file: Stats, printer: Pick<Printer, 'warn'>): void {
  if (file.size > KEY_FILE_BYTES_MAX) {
    throw new UsageError(
      `${path}: ${file.size} bytes are too many for a key file; the limit is ${KEY_FILE_BYTES_MAX}`,
    );
  }
  if (process.platform === 'win32' || !file.isFile()) return;
  const mode = `mode ${(file.mode & 0o777).toString(8).padStart(4, '0')}`;
  if ((file.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw new UsageError(`${path}: other users can write this key file (${mode}); chmod 600 it`);
  }
  if ((file.mode & READABLE_BY_OTHERS) !== 0) {
    printer.warn(`warning: other users can read the key file ${path} (${mode}); chmod 600 it`);
  }
}

/** @throws UsageError */
function keyOf({ kind, path, format }: KeyOption, content: Uint8Array): Key {
  if (kind === 'password') return { kind, bytes: passwordOf(path, content) };
  if (format === 'binary') {
    if (content.length === KEY_BYTES) return { kind, bytes: content.slice() };
    throw new UsageError(`${path}: a binary key has ${KEY_BYTES} bytes, not ${content.length}`);
  }
  const digits = Buffer.from(content).toString('latin1').trim().replace(/^0x/i, '');
  if (/^[0-9a-fA-F]+$/.test(digits) && digits.length === 2 * KEY_BYTES) {
    return { kind, bytes: new Uint8Array(Buffer.from(digits, 'hex')) };
  }
  throw new UsageError(`${path}: a key in hex has ${2 * KEY_BYTES} digits`);
}

/** The password is the file without the end of its last line. */
function passwordOf(path: string, content: Uint8Array): Uint8Array {
  let length = content.length;
  if (length > 0 && content[length - 1] === 0x0a) length -= 1;
  if (length > 0 && content[length - 1] === 0x0d) length -= 1;
  if (length > 0) return Uint8Array.from(content.subarray(0, length));
  throw new UsageError(`${path}: the password is empty`);
}
