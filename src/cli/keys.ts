/**
 * `--key`, spelt as swtpm spells it: `file=PATH,format=hex|binary[,remove=true]` or
 * `pwdfile=PATH[,remove=true]`. What was read is wiped from the buffer that it was read into.
 * @module
 */
import { closeSync, fstatSync, openSync, readFileSync, rmSync, type Stats } from 'node:fs';
import { IoError } from '../errors.js';
import { KEY_BYTES, type Key } from '../nvram/index.js';
import { fieldsOf } from './fields.js';
import { UsageError, warn } from './output.js';

const KEY_FILE_BYTES_MAX = 4096;
const HELP =
  'write it as file=PATH,format=hex|binary or pwdfile=PATH; ,remove=true deletes the file';

/** A key, and the file that it came from. */
export interface KeyFile {
  readonly key: Key;
  /** Called once the key has opened, or encrypted, a store: removes the file if `remove=true` asks for it. */
  readonly used: () => void;
}

/** @throws UsageError, IoError */
export function readKey(text: string): KeyFile {
  const fields = new Map(fieldsOf(text));
  const file = fields.get('file');
  const pwdfile = fields.get('pwdfile');
  const format = fields.get('format') ?? 'hex';
  const remove = fields.get('remove') ?? 'false';
  const known = [...fields.keys()].every(name =>
    ['file', 'pwdfile', 'format', 'remove'].includes(name),
  );
  const path = file ?? pwdfile;
  const sound =
    known &&
    path !== undefined &&
    path !== '' &&
    (file === undefined) !== (pwdfile === undefined) &&
    ['hex', 'binary'].includes(format) &&
    ['true', 'false'].includes(remove);
  // The text may hold no secret, only names of files, but it is not repeated all the same.
  if (!sound) throw new UsageError(`the key option makes no sense; ${HELP}`);
  const content = readSecret(path);
  try {
    const key = file === undefined ? passwordOf(path, content) : keyOf(path, content, format);
    return { key, used: () => remove === 'true' && rmSync(path, { force: true }) };
  } finally {
    content.fill(0);
  }
}

function readSecret(path: string): Uint8Array {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    demandKeyFile(path, fstatSync(fd));
    return readFileSync(fd);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new IoError('read the key file', path, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_OTHERS = 0o044;

/**
 * Who can write a key file chooses the key; who can read it has it. Windows has no such modes.
 * @throws UsageError
 */
function demandKeyFile(path: string, file: Stats): void {
  if (file.size > KEY_FILE_BYTES_MAX) {
    throw new UsageError(`${path} is too large for a key; name the right file`);
  }
  if (process.platform === 'win32' || !file.isFile()) return;
  const mode = `mode ${(file.mode & 0o777).toString(8).padStart(4, '0')}`;
  if ((file.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw new UsageError(`${path}: other users can write this key file (${mode}); chmod 600 it`);
  }
  if ((file.mode & READABLE_BY_OTHERS) !== 0) {
    warn(`warning: other users can read the key file ${path} (${mode}); chmod 600 it`);
  }
}

function keyOf(path: string, content: Uint8Array, format: string): Key {
  if (format === 'binary') {
    if (content.length === KEY_BYTES) return { kind: 'key', bytes: content.slice() };
    throw new UsageError(`${path}: a binary key has ${KEY_BYTES} bytes, not ${content.length}`);
  }
  const digits = Buffer.from(content).toString('latin1').trim().replace(/^0x/i, '');
  if (/^[0-9a-fA-F]+$/.test(digits) && digits.length === 2 * KEY_BYTES) {
    return { kind: 'key', bytes: new Uint8Array(Buffer.from(digits, 'hex')) };
  }
  throw new UsageError(`${path}: a key in hex has ${2 * KEY_BYTES} digits`);
}

/** The password is the file without the end of its last line. */
function passwordOf(path: string, content: Uint8Array): Key {
  let length = content.length;
  if (length > 0 && content[length - 1] === 0x0a) length -= 1;
  if (length > 0 && content[length - 1] === 0x0d) length -= 1;
  if (length > 0) return { kind: 'password', bytes: Uint8Array.from(content.subarray(0, length)) };
  throw new UsageError(`${path}: the password is empty`);
}
