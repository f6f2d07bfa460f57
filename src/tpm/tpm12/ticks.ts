/**
 * The ticks (TPM Main Part 1, §20): microseconds since power on, under a nonce of this power cycle.
 * @module
 */
import type { Of } from '../../wire/codec.js';
import type { Environment } from './environment.js';
import type { currentTicks } from './structures/current-ticks.js';

const TICK_US = 1;

export const ticksNow = ({ clock, state }: Environment): Of<typeof currentTicks> => ({
  currentTicks: BigInt(Math.floor(clock() - state.ticks.startedAt)),
  tickRate: TICK_US,
  tickNonce: state.ticks.nonce,
});
