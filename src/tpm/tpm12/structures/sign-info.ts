/**
 * TPM_SIGN_INFO (TPM Main Part 2, §11.5): what a TPM signs on its own account.
 * @module
 */
import { bytes, encode } from '../../../wire/codec.js';
import { nonce, sizedBuffer, structure } from './basic.js';

// biome-ignore format: table
const signInfo = structure(0x0005, {
  fixed:  bytes(4),
  replay: nonce,
  data:   sizedBuffer,
});

/** The bytes of a TPM_SIGN_INFO whose kind is told by the 4 letters of `fixed`. */
export const encodeSignInfo = (
  fixed: 'SIGN' | 'TSTP' | 'ADIG' | 'TRAN',
  replay: Uint8Array,
  data: Uint8Array,
): Uint8Array => encode(signInfo, { fixed: new TextEncoder().encode(fixed), replay, data });
