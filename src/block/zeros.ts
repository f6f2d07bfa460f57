/**
 * Bytes that are all zero.
 * @module
 */
import { equal } from '../wire/codec.js';

export const isZeros = (bytes: Uint8Array): boolean =>
  bytes.length === 0 || (bytes[0] === 0 && equal(bytes.subarray(1), bytes.subarray(0, -1)));
