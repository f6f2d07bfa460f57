/**
 * Commands as frames. A command is a record of its ordinal, its parameters and how its output is
 * read; from it comes an exchange: the bytes of the request, and a check of the bytes that come
 * back. Nothing here sends anything. Source: TPM Main Part 3 §1.1 and Part 2 §6.
 * @module
 */
import { frame, frameHeader, HEADER_BYTES } from '../tpm/kernel/frame.js';
import { type Codec, concat, decode, Reader, WireError } from '../wire/codec.js';
import { TAG } from './constants.js';
import { RESULT, TpmResponseError, TpmResponseFault } from './result-codes.js';

/** One command, ready to be sent with or without authorisation. */
export interface Command<T> {
  readonly ordinal: number;
  /** Handles at the front, which no HMAC covers, so that a resource manager may change them. */
  readonly handles?: Uint8Array;
  /** Everything else before the authorisation, as it goes into the HMAC too. */
  readonly params: Uint8Array;
  /** Bytes of handles at the front of the output, which no HMAC covers either. Default: 0. */
  readonly outHandleBytes?: number;
  readonly output: Codec<T>;
}

/** A request, and what makes a value of its response. */
export interface Exchange<T> {
  readonly ordinal: number;
  readonly request: Uint8Array;
  /** @throws TpmResponseError for a result other than 0, TpmResponseFault for a bad response */
  verify(response: Uint8Array): T;
}

export { frame, HEADER_BYTES };

/** What stands between the ordinal and the authorisation. */
export const bodyOf = <T>({ handles = new Uint8Array(), params }: Command<T>): Uint8Array =>
  concat(handles, params);

/** Sends `command` without authorisation. */
export const plain = <T>(command: Command<T>): Exchange<T> => ({
  ordinal: command.ordinal,
  request: frame(TAG.RQU_COMMAND, command.ordinal, bodyOf(command)),
  verify: response => parse(command, unframe(command.ordinal, TAG.RSP_COMMAND, response)),
});

/** What follows the header of a response that says success; anything else is thrown. */
export function unframe(ordinal: number, tag: number, response: Uint8Array): Uint8Array {
  const head = form(ordinal, () => frameHeader.read(new Reader(response)));
  if (head.size !== response.length) {
    const why = `it says ${head.size} bytes and has ${response.length}`;
    throw new TpmResponseFault('RESPONSE_FORM', ordinal, why);
  }
  const failed = head.code !== RESULT.SUCCESS;
  const due = failed ? TAG.RSP_COMMAND : tag;
  if (head.tag !== due || (failed && response.length !== HEADER_BYTES)) {
    const why = `a response of tag 0x${head.tag.toString(16)} and ${response.length} bytes came`;
    throw new TpmResponseFault('RESPONSE_FORM', ordinal, why);
  }
  if (failed) throw new TpmResponseError(ordinal, head.code);
  return response.slice(HEADER_BYTES);
}

/** The output parameters of `command` out of bytes that must hold them and nothing else. */
export const parse = <T>({ ordinal, output }: Command<T>, bytes: Uint8Array): T =>
  form(ordinal, () => decode(output, bytes));

/** Runs `read`, and blames the response for bytes that do not parse. */
export function form<T>(ordinal: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new TpmResponseFault('RESPONSE_FORM', ordinal, error.message, error);
  }
}
