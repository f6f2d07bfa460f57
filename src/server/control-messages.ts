/**
 * The messages of swtpm's control protocol: number, what follows it, and in which states of the TPM it is
 * allowed. Each begins with its number, in 32 bits, big-endian; there is no other framing. Source: the
 * TPM interface of swtpm (swtpm_ioctls(3)); the states are those in which swtpm 0.7.1 was seen to refuse.
 * @module
 */
import assert from 'node:assert/strict';
import {
  type Codec,
  concat,
  decode,
  flags64,
  type Of,
  sized,
  struct,
  u8,
  u32,
} from '../wire/codec.js';

/** When a message is allowed: the TPM is on after INIT, and off before it and after STOP. */
export type When = 'always' | 'on' | 'off';

interface Spec<R> extends Variable {
  readonly number: number;
  readonly when: When;
  /** Of the fixed part, without the number. */
  readonly bytes: number;
  readonly request: Codec<R>;
}

interface Variable {
  /** The most bytes of the data whose length, in 32 bits, ends the fixed part; 0 without data. */
  readonly dataMax: number;
  /** The most bytes behind the fixed part that belong to the message without any meaning. */
  readonly padding: number;
}

const message = <R>(
  number: number,
  when: When,
  bytes: number,
  request: Codec<R>,
  variable: Partial<Variable> = {},
): Spec<R> => ({ number, when, bytes, request, dataMax: 0, padding: 0, ...variable });

const nothing = struct({});
const locality = struct({ locality: u8 });
/**
 * swtpm_ioctl sends the locality alone. QEMU sends three bytes more, in the same write, and does not
 * clear them: as many of them as have arrived belong to the message.
 */
const LOCALITY_PADDING = 3;

/** More than any state blob: twice what a store takes by default. */
export const STATE_BYTES_MAX = 512 * 1024;
/** What one HASH_DATA can carry: a buffer of swtpm, less the head of the message. */
export const HASH_BYTES_MAX = 4096 - 8;

// biome-ignore format: table
export const MESSAGES = {
  GET_CAPABILITY:       message( 1, 'always',  0, nothing),
  INIT:                 message( 2, 'always',  4, struct({ flags: u32 })),
  SHUTDOWN:             message( 3, 'always',  0, nothing),
  GET_TPMESTABLISHED:   message( 4, 'on',      0, nothing),
  SET_LOCALITY:         message( 5, 'always',  1, locality, { padding: LOCALITY_PADDING }),
  HASH_START:           message( 6, 'on',      0, nothing),
  HASH_DATA:            message( 7, 'on',      4, struct({ data: sized(u32) }), { dataMax: HASH_BYTES_MAX }),
  HASH_END:             message( 8, 'on',      0, nothing),
  CANCEL_TPM_CMD:       message( 9, 'on',      0, nothing),
  STORE_VOLATILE:       message(10, 'on',      0, nothing),
  RESET_TPMESTABLISHED: message(11, 'on',      1, locality, { padding: LOCALITY_PADDING }),
  GET_STATEBLOB:        message(12, 'on',     12, struct({ flags: u32, type: u32, offset: u32 })),
  SET_STATEBLOB:        message(13, 'off',    12, struct({ flags: u32, type: u32, data: sized(u32) }), { dataMax: STATE_BYTES_MAX }),
  STOP:                 message(14, 'always',  0, nothing),
  GET_CONFIG:           message(15, 'always',  0, nothing),
  SET_DATAFD:           message(16, 'always',  0, nothing),
  SET_BUFFERSIZE:       message(17, 'always',  4, struct({ size: u32 })),
  GET_INFO:             message(18, 'always', 16, struct({ flags: flags64, offset: u32, padding: u32 })),
  LOCK_STORAGE:         message(19, 'always',  4, struct({ retries: u32 })),
};

export type Name = keyof typeof MESSAGES;
export type Request<N extends Name> = Of<(typeof MESSAGES)[N]['request']>;

const byNumber = new Map(
  (Object.keys(MESSAGES) as Name[]).map(name => [MESSAGES[name].number, name] as const),
);
for (const [name, { bytes, request, dataMax }] of Object.entries(MESSAGES)) {
  assert(dataMax > 0 || request.size === bytes, `${name} has another length`);
}
assert(byNumber.size === Object.keys(MESSAGES).length, 'two control messages have one number');

/** swtpm's name of message `number`; undefined where there is none. */
export const controlMessageName = (number: number): string | undefined => {
  const name = byNumber.get(number);
  return name && `CMD_${name}`;
};

export const NUMBER_BYTES = 4;

/** What a stream of control messages begins with. */
export type Head =
  | { readonly is: 'incomplete' }
  | { readonly is: 'message'; readonly name: Name; readonly length: number }
  /** Its length is not known, so neither is the start of the next one. */
  | { readonly is: 'unknown'; readonly number: number }
  | { readonly is: 'too long'; readonly name: Name; readonly claimed: number };

export function headOf(stream: Uint8Array): Head {
  if (stream.length < NUMBER_BYTES) return { is: 'incomplete' };
  const view = new DataView(stream.buffer, stream.byteOffset, stream.length);
  const number = view.getUint32(0);
  const name = byNumber.get(number);
  if (name === undefined) return { is: 'unknown', number };
  const { bytes: fixed, dataMax, padding } = MESSAGES[name];
  const end = NUMBER_BYTES + fixed;
  if (stream.length < end) return { is: 'incomplete' };
  const claimed = dataMax === 0 ? 0 : view.getUint32(end - 4);
  if (claimed > dataMax) return { is: 'too long', name, claimed };
  if (stream.length < end + claimed) return { is: 'incomplete' };
  const length = end + claimed;
  return { is: 'message', name, length: length + Math.min(padding, stream.length - length) };
}

/** The fields of a whole message. */
export function requestOf<N extends Name>(name: N, whole: Uint8Array): Request<N> {
  const { request, bytes, padding } = MESSAGES[name];
  const end = padding === 0 ? whole.length : NUMBER_BYTES + bytes;
  // The table gives each name its own codec, which a lookup by a type parameter does not show.
  return decode(request as Codec<Request<N>>, whole.subarray(NUMBER_BYTES, end));
}

/** Messages in a byte stream. */
export class ControlStream {
  #pending: Uint8Array = new Uint8Array();

  push(chunk: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk);
  }

  get head(): Head {
    return headOf(this.#pending);
  }

  /** Whether a message has begun that is not complete. */
  get partial(): boolean {
    return this.#pending.length > 0 && this.head.is === 'incomplete';
  }

  /** Removes the first `length` bytes. */
  take(length: number): Uint8Array {
    const taken = this.#pending.slice(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }

  /** Drops what has arrived. */
  discard(): void {
    this.#pending = new Uint8Array();
  }
}
