/**
 * The tick structure (TPM Main Part 2, §15).
 * @module
 */
import { flags64, u16 } from '../../../wire/codec.js';
import { nonce } from './basic.js';
import { structure } from './codecs.js';

/** §15.1 TPM_CURRENT_TICKS. The count is 64 bits wide, whatever a clock may say. */
// biome-ignore format: table
export const currentTicks = structure(0x0014, {
  currentTicks: flags64,
  tickRate:     u16,
  tickNonce:    nonce,
});

/** The count of the ticks alone. */
export const tickCount = flags64;
