/**
 * Random numbers (TPM Main Part 3, §13.6 and §13.7).
 * @module
 */
import { struct, u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import { nothing, sizedBuffer } from '../structures/codecs.js';

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
