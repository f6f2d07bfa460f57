/**
 * Random numbers (TPM Main Part 3, §13.6 and §13.7).
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import { sizedBuffer } from '../structures/codecs.js';

/** Random bytes, as many as fit into a response. */
export const getRandom = command({
  ordinal: 'GetRandom',
  auth: 'none',
  when: 'operational',
  input: { bytesRequested: u32 },
  output: { randomBytes: sizedBuffer },
  run({ tpm }, { bytesRequested }) {
    const length = Math.min(bytesRequested, LIMITS.randomBytes);
    return { randomBytes: length === 0 ? new Uint8Array() : tpm.entropy(length) };
  },
});

/** Accepts the guest's entropy and ignores it: the host's needs none. */
export const stirRandom = command({
  ordinal: 'StirRandom',
  auth: 'none',
  when: 'operational',
  input: { inData: sizedBuffer },
  run: () => ({}),
});
