/**
 * How a wrapped command and its response are taken apart (TPM Main Part 3, §24.2): what of it is encrypted,
 * and which keys it names.
 * @module
 */
import { concat, encode, Reader, u32 } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import { frameHeader, HEADER_BYTES } from '../kernel/frame.js';
import type { Call } from './call.js';
import type { WrappedFacts } from './environment.js';
import { findPublicKey } from './keys/loaded.js';
import { ABSENT_ORDINALS } from './ordinals.js';
import { demand } from './results.js';
import { noBytes20 } from './structures/basic.js';
import { sizedBuffer } from './structures/codecs.js';
import { load, parse } from './structures/parsing.js';
import { RESPONSE_TAG_OFFSET, Resource, Tag } from './structures/types.js';

const AUTH_BYTES = 45;

const RESPONSE_AUTH_BYTES = 41;

/** Where the data of a wrapped command, or of its response, begin and end. */
interface Part {
  readonly start: number;
  readonly end: number;
}

interface CommandPart extends Part {
  readonly ordinal: number;
  readonly facts: WrappedFacts;
}

export function commandPart(call: Call, wrapped: Uint8Array): CommandPart {
  const { tag, size, code: ordinal } = load(frameHeader, wrapped);
  demand(size === wrapped.length, 'BAD_PARAM_SIZE');
  const facts = call.tpm.commands.get(ordinal)?.wrapped ?? ABSENT.get(ordinal);
  demand(facts !== undefined, 'BAD_ORDINAL');
  const start = HEADER_BYTES + facts.handleBytes.input;
  const part = between(wrapped, start, AUTH_BYTES * sessionsOf(tag, Tag.COMMAND));
  return { ordinal, facts, ...part };
}

/** Known ordinals without a command: what is refused is the wrapped command, and the session goes on. */
const ABSENT: ReadonlyMap<number, WrappedFacts> = new Map(
  Object.values(ABSENT_ORDINALS).map(({ ordinal, keys }) => [
    ordinal,
    { refused: false, handleBytes: { input: 4 * keys, output: 0 }, keys },
  ]),
);

const sessionsOf = (tag: number, plain: number): number =>
  tag === plain + 1 || tag === plain + 2 ? tag - plain : 0;

function between(bytes: Uint8Array, start: number, behind: number): Part {
  demand(bytes.length >= start + behind, 'BAD_PARAM_SIZE');
  return { start, end: bytes.length - behind };
}

export function responsePart({ handleBytes }: WrappedFacts, response: Uint8Array): Part {
  const { tag, code: result } = load(frameHeader, response);
  if (result !== 0) return { start: HEADER_BYTES, end: HEADER_BYTES };
  return between(
    response,
    HEADER_BYTES + handleBytes.output,
    RESPONSE_AUTH_BYTES * sessionsOf(tag, Tag.COMMAND + RESPONSE_TAG_OFFSET),
  );
}

/** `whole` with one part of it encrypted or decrypted. */
export const withPart = (
  whole: Uint8Array,
  { start, end }: Part,
  change: (part: Uint8Array) => Uint8Array,
): Uint8Array => concat(whole.slice(0, start), change(whole.slice(start, end)), whole.slice(end));

/**
 * How many key handles a command begins with. Where that depends on a resource type, it must be there
 * before anything is proven.
 */
export function keyCountOf({ keys }: WrappedFacts, clear: Uint8Array): number {
  if (keys !== 'typed') return keys;
  const resourceType = load(u32, clear.slice(HEADER_BYTES + 4));
  return Number(resourceType === Resource.KEY);
}

/** The digest over the public keys of the handles that a command begins with. */
export function keysHash(call: Call, count: number, clear: Uint8Array): Uint8Array {
  if (count === 0) return noBytes20();
  const from = new Reader(clear.slice(HEADER_BYTES));
  const hashes = Array.from({ length: count }, () => {
    const key = findPublicKey(call, parse(u32, from));
    return sha1(encode(sizedBuffer, key.pubKey));
  });
  return sha1(...hashes);
}
