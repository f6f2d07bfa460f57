/**
 * Parsing what a guest sent: missing bytes and invalid flags are its fault, and
 * become result codes here.
 * @module
 */
import { type Codec, Reader, WireError } from '../../../wire/codec.js';
import { TpmFault } from '../results.js';

/** @throws TpmFault BAD_PARAM_SIZE where bytes are missing, BAD_PARAMETER for an invalid value */
export function parse<T>(codec: Codec<T>, from: Reader): T {
  try {
    return codec.read(from);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new TpmFault(error.code === 'VALUE' ? 'BAD_PARAMETER' : 'BAD_PARAM_SIZE');
  }
}

/** Reads a structure from the front of `bytes`; what follows it is dropped, as libtpms drops it. */
export const load = <T>(codec: Codec<T>, bytes: Uint8Array): T => parse(codec, new Reader(bytes));
