/**
 * swtpm's wrapper of a state blob as a migration carries it: a head, and in it tagged data. Plain only:
 * there is no migration key. Source: swtpm 0.7.1 as observed (its file format, version 2).
 * @module
 */
import {
  bytes,
  concat,
  decode,
  encode,
  struct,
  u8,
  u16,
  u32,
  WireError,
} from '../../wire/codec.js';

const head = struct({ version: u8, readableBy: u8, headBytes: u16, flags: u16, totalBytes: u32 });
const tag = struct({ tag: u16, length: u32 });
const HEAD_BYTES = 10;
const TAG_BYTES = 6;
const VERSION = 2;
const READABLE_BY = 1;
const MIGRATION_DATA_FLAG = 4;
/** With a key of the state file, or with a migration key. */
const ENCRYPTED_FLAGS = 1 | 2;
const DATA = 1;
const MIGRATION_DATA = 4;

export const wrapStateBlob = (blob: Uint8Array): Uint8Array => {
  const content = tagged(MIGRATION_DATA, tagged(DATA, blob));
  const totalBytes = HEAD_BYTES + content.length;
  const fields = { version: VERSION, readableBy: READABLE_BY, headBytes: HEAD_BYTES };
  return concat(encode(head, { ...fields, flags: MIGRATION_DATA_FLAG, totalBytes }), content);
};

const tagged = (name: number, content: Uint8Array): Uint8Array =>
  concat(encode(tag, { tag: name, length: content.length }), content);

/** What a wrapped blob is. */
export type Unwrapped =
  | { readonly is: 'blob'; readonly blob: Uint8Array }
  | { readonly is: 'encrypted' }
  | { readonly is: 'malformed'; readonly why: string };

/** Every length is compared with what is there. */
export function unwrapStateBlob(wrapped: Uint8Array): Unwrapped {
  if (wrapped.length < HEAD_BYTES) return malformed('it is shorter than its head');
  const fields = decode(head, wrapped.subarray(0, HEAD_BYTES));
  const { version, readableBy, headBytes, flags, totalBytes } = fields;
  if (version < READABLE_BY || readableBy > VERSION) return malformed(`it has version ${version}`);
  if (headBytes !== HEAD_BYTES) return malformed(`its head has ${headBytes} bytes`);
  if (totalBytes !== wrapped.length) {
    return malformed(`it claims ${totalBytes} bytes and has ${wrapped.length}`);
  }
  if ((flags & ENCRYPTED_FLAGS) !== 0) return { is: 'encrypted' };
  const content = wrapped.subarray(HEAD_BYTES);
  try {
    const outer = (flags & MIGRATION_DATA_FLAG) === 0 ? content : find(MIGRATION_DATA, content);
    return { is: 'blob', blob: find(DATA, outer).slice() };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return malformed(error.message);
  }
}

const malformed = (why: string): Unwrapped => ({ is: 'malformed', why });

/** The value of a tag. @throws WireError where it is missing, or a length does not fit */
function find(name: number, content: Uint8Array): Uint8Array {
  for (let at = 0; at < content.length; ) {
    if (content.length - at < TAG_BYTES) throw new WireError('SHORT', 'a tag is cut short');
    const found = decode(tag, content.subarray(at, at + TAG_BYTES));
    const from = at + TAG_BYTES;
    if (found.length > content.length - from) {
      throw new WireError('SHORT', `tag ${found.tag} claims ${found.length} bytes`);
    }
    if (found.tag === name)
      return decode(bytes(found.length), content.subarray(from, from + found.length));
    at = from + found.length;
  }
  throw new WireError('VALUE', `tag ${name} is missing`);
}
