/**
 * Random numbers (TPM Main Part 3, §13.6) and ticks (§23.1).
 * @module
 */
import { struct, u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import { currentTicks, nothing, sizedBuffer } from '../structures/basic.js';
import { ticksNow } from '../ticks.js';

/** Random bytes, as many as fit into a response. */
export const getRandom = command({
  ordinal: 0x46,
  name: 'TPM_GetRandom',
  auth: 'none',
  when: 'operational',
  input: struct({ bytesRequested: u32 }),
  output: struct({ randomBytes: sizedBuffer }),
  run({ tpm }, { bytesRequested }) {
    const length = Math.min(bytesRequested, LIMITS.randomBytes);
    return { randomBytes: length === 0 ? new Uint8Array() : tpm.entropy(length) };
  },
});

/** Takes the guest's randomness, which the host's does not need. */
export const stirRandom = command({
  ordinal: 0x47,
  name: 'TPM_StirRandom',
  auth: 'none',
  when: 'operational',
  input: struct({ inData: sizedBuffer }),
  output: nothing,
  run: () => ({}),
});

/** The microseconds since power on, and the nonce of this power cycle. */
export const getTicks = command({
  ordinal: 0xf1,
  name: 'TPM_GetTicks',
  auth: 'none',
  when: 'operational',
  input: nothing,
  output: struct({ currentTime: currentTicks }),
  run: ({ tpm }) => ({ currentTime: ticksNow(tpm) }),
});
