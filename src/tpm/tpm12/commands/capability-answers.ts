/**
 * The forms of TPM_GetCapability's answers, and of the sub-capabilities that they want.
 * @module
 */
import {
  array,
  bool,
  type Codec,
  concat,
  encode,
  Reader,
  u16,
  u32,
  WireError,
} from '../../../wire/codec.js';
import type { Call } from '../call.js';
import { demand, TpmFault } from '../results.js';

/** One answer, for the sub-capability that the guest sent. */
export type Answer<S> = (call: Call, subCap: S) => Uint8Array;

export const yes = (holds: boolean): Uint8Array => encode(bool, holds);

export const word = (value: number): Uint8Array => encode(u32, value);

export const words = (values: readonly number[]): Uint8Array =>
  encode(array(values.length, u32), [...values]);

export const handles = (held: readonly number[]): Uint8Array =>
  concat(encode(u16, held.length), words(held));

/** An area that wants a sub-capability of exactly 4, or 2, bytes. */
const exactly =
  (codec: Codec<number>, answer: Answer<number>): Answer<Uint8Array> =>
  (call, subCap) => {
    demand(subCap.length === codec.size, 'BAD_MODE');
    return answer(call, codec.read(new Reader(subCap)));
  };

export const by32 = (answer: Answer<number>): Answer<Uint8Array> => exactly(u32, answer);

export const by16 = (answer: Answer<number>): Answer<Uint8Array> => exactly(u16, answer);

/** An area whose sub-capability is a structure. */
export const byStructure =
  <T>(codec: Codec<T>, answer: Answer<T>): Answer<Uint8Array> =>
  (call, subCap) => {
    try {
      return answer(call, codec.read(new Reader(subCap)));
    } catch (error) {
      throw error instanceof WireError ? new TpmFault('BAD_PARAM_SIZE') : error;
    }
  };

export const oneOf =
  (...known: readonly number[]): Answer<number> =>
  (_call, value) =>
    yes(known.includes(value));
