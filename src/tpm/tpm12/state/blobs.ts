/**
 * A blob of libtpms: a structure with a SHA-1 behind it. The digest only shows errors: an attacker
 * can compute it again, so every byte is parsed as an attacker's.
 * @module
 */
import { type Codec, concat, decode, encode, equal, WireError } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { type BlobName, StateError } from '../../engine.js';
import { TpmFault } from '../results.js';

/** The bytes of a blob with the SHA-1 over them behind. */
export const withDigest = (content: Uint8Array): Uint8Array => concat(content, sha1(content));

/**
 * Reads a blob of libtpms: a structure, and a SHA-1 over it. It is canonical: the bytes that the
 * value would be written as are the bytes that were there.
 * @throws StateError
 */
export function decodeBlob<T>(
  name: BlobName,
  codec: Codec<T>,
  blob: Uint8Array,
  bytesMax: number,
): T {
  const refuse = (why: string, cause?: unknown): StateError =>
    new StateError('MALFORMED', name, why, cause);
  if (blob.length > bytesMax) throw refuse(`${blob.length} bytes are more than ${bytesMax}`);
  if (blob.length < 20) throw refuse(`${blob.length} bytes are too few`);
  const content = blob.slice(0, -20);
  if (!equal(sha1(content), blob.slice(-20))) throw refuse('its digest does not match');
  try {
    const value = decode(codec, content);
    if (equal(encode(codec, value), content)) return value;
  } catch (error) {
    if (error instanceof WireError || error instanceof TpmFault) throw refuse(error.message, error);
    throw error;
  }
  throw refuse('it has bytes that mean nothing');
}
