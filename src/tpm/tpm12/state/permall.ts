/**
 * `permall`: everything that a TPM never loses, in libtpms's own byte format.
 * @module
 */
import { encode } from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { decodeBlob, withDigest } from './blobs.js';
import { type Permanent, permanent } from './permanent.js';

/** The bytes of `permall` for a state. */
/** Room for a TPM with an owner and an NV index or two (2050 bytes and what the indices take). */
const USUAL_BYTES = 4096;

export const encodePermall = (state: Permanent): Uint8Array =>
  withDigest(encode(permanent, state, USUAL_BYTES));

/**
 * The state that the bytes of `permall` hold, where they hold one to the last bit.
 * @throws StateError
 */
export function decodePermall(blob: Uint8Array): Permanent {
  return decodeBlob('permall', permanent, blob, LIMITS.permanentBytes);
}
