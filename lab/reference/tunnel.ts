/**
 * The bytes of TPM_ExecuteTransport at the guest's end (TPM Main Part 1, §18; Part 3, §24.2): what a
 * command is wrapped into, and what a response is unwrapped from.
 */

import { createCipheriv } from 'node:crypto';
import { frame, raw } from '../../src/guest/index.js';
import { hmac, sha1 } from '../../src/guest/sessions.js';
import { concat, encode, equal, u32 } from '../../src/wire/codec.js';
import { word } from '../files.js';

export const ATTRIBUTE = { ENCRYPT: 1, LOG: 2, EXCLUSIVE: 4 };
export const ALGORITHM = { AES128: 6, MGF1: 7 };
export const SCHEME = { NONE: 1, CTR: 4, OFB: 5 };
/** An algorithm and how it encrypts. */
export type Way = readonly [algorithm: number, scheme: number];
/** The handle that stands for a secret that comes in clear. */
export const TRANSPORT = 0x4000_0003;
const EXECUTE = 0xe7;
const HEADER_BYTES = 10;
const [AUTH_BYTES, RESPONSE_AUTH_BYTES] = [45, 41];
const n4 = (value: number): Uint8Array => encode(u32, value);

/** A transport session, as the guest knows it. */
export interface Tunnel {
  readonly handle: number;
  readonly even: Uint8Array;
  readonly secret: Uint8Array;
  readonly attributes: number;
  readonly way: Way;
}
/** Bytes of handles at the front of a command and of its response, which are never encrypted. */
export interface Handles {
  readonly input: number;
  readonly output: number;
}

function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const count = Math.ceil(length / 20);
  return concat(...Array.from({ length: count }, (_, at) => sha1(seed, n4(at)))).slice(0, length);
}

function crypt(
  { attributes, way: [algorithm, scheme], secret }: Tunnel,
  even: Uint8Array,
  odd: Uint8Array,
  direction: 'in' | 'out',
  data: Uint8Array,
): Uint8Array {
  if (attributes % 2 !== ATTRIBUTE.ENCRYPT) return data;
  const seed = concat(even, odd, new TextEncoder().encode(direction));
  if (algorithm === ALGORITHM.MGF1) {
    const pad = mgf1(concat(seed, secret), data.length);
    return data.map((one, at) => one ^ pad[at]!);
  }
  const mode = scheme === SCHEME.CTR ? 'aes-128-ctr' : 'aes-128-ofb';
  const cipher = createCipheriv(mode, secret.slice(0, 16), mgf1(seed, 16));
  return new Uint8Array(cipher.update(data));
}

/** How many authorisations a request, or a response, of a tag has. */
const AUTHS: ReadonlyMap<number, number> = new Map([
  [0xc2, 1],
  [0xc3, 2],
  [0xc5, 1],
  [0xc6, 2],
]);

/** Where the data of a command or a response begin and end; all of it where it is too short. */
function dataOf(bytes: Uint8Array, handles: number, authBytes: number): [number, number] {
  const count = AUTHS.get(word(bytes, 0) >>> 16) ?? 0;
  const [start, end] = [HEADER_BYTES + handles, bytes.length - authBytes * count];
  return start <= end ? [start, end] : [bytes.length, bytes.length];
}

/** A command on its way through, and the digest of it that a log has. */
export interface Wrapped {
  readonly request: Uint8Array;
  readonly digest: Uint8Array;
}

/** Wraps a command. @param odd the guest's nonce */
export function wrap(
  tunnel: Tunnel,
  request: Uint8Array,
  { input }: Handles,
  odd: Uint8Array,
  { secret = tunnel.secret, goOn = 1 } = {},
): Wrapped {
  const [start, end] = dataOf(request, input, AUTH_BYTES);
  const data = request.slice(start, end);
  const hidden = crypt(tunnel, tunnel.even, odd, 'in', data);
  const wrapped = concat(request.slice(0, start), hidden, request.slice(end));
  const digest = sha1(request.slice(6, HEADER_BYTES), data);
  const covered = sha1(n4(EXECUTE), n4(wrapped.length), digest);
  const proof = hmac(secret, covered, tunnel.even, odd, raw.byte(goOn));
  const trailer = concat(n4(tunnel.handle), odd, raw.byte(goOn), proof);
  return { request: frame(0x00c2, EXECUTE, concat(raw.counted(wrapped), trailer)), digest };
}

/** What a response of TPM_ExecuteTransport held. */
export interface Unwrapped {
  readonly response: Uint8Array;
  readonly digest: Uint8Array;
  readonly ticks: Uint8Array;
  readonly even: Uint8Array;
  /** Whether the HMAC is right. */
  readonly proven: boolean;
}

/** Unwraps the response to the command of `ordinal`; that of a success, that is. */
export function unwrap(
  tunnel: Tunnel,
  ordinal: number,
  outer: Uint8Array,
  { output }: Handles,
  odd: Uint8Array,
): Unwrapped {
  const [ticks, locality, size] = [outer.slice(10, 18), outer.slice(18, 22), word(outer, 22)];
  const inner = outer.slice(26, 26 + size);
  const even = outer.slice(26 + size, 46 + size);
  const failed = word(inner, 6) !== 0;
  const [start, end] = failed ? [10, 10] : dataOf(inner, output, RESPONSE_AUTH_BYTES);
  const data = crypt(tunnel, even, odd, 'out', inner.slice(start, end));
  const response = concat(inner.slice(0, start), data, inner.slice(end));
  const digest = sha1(response.slice(6, 10), n4(ordinal), data);
  const covered = sha1(n4(0), n4(EXECUTE), ticks, locality, n4(size), digest);
  const goesOn = outer.slice(46 + size, 47 + size);
  const proof = hmac(tunnel.secret, covered, even, odd, goesOn);
  return { response, digest, ticks, even, proven: equal(proof, outer.slice(-20)) };
}
