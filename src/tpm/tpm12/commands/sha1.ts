/**
 * SHA-1 for callers that cannot hash (TPM Main Part 3, §13.1 to §13.4). There is one thread, and
 * any other command ends it.
 * @module
 */
import { u32 } from '../../../wire/codec.js';
import { Sha1Stream } from '../../crypto/sha1-stream.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest } from '../structures/basic.js';
import { sizedBuffer } from '../structures/codecs.js';
import { extendPcr } from './integrity.js';

const BLOCK_BYTES = 64;

const BYTES_MAX = LIMITS.bufferBytes - BLOCK_BYTES;

/** Begins. */
export const sha1Start = command({
  ordinal: 'SHA1Start',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  output: { maxNumBytes: u32 },
  run({ state, through }) {
    state.sha1Thread = new Sha1Stream();
    state.sha1Transport = through?.transHandle ?? 0;
    return { maxNumBytes: BYTES_MAX };
  },
});

/** Hashes whole blocks. */
export const sha1Update = command({
  ordinal: 'SHA1Update',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  sha1: 'continues',
  input: { hashData: sizedBuffer },
  run({ state }, { hashData }) {
    const thread = state.sha1Thread;
    demand(thread !== undefined, 'SHA_THREAD');
    const sound = hashData.length % BLOCK_BYTES === 0 && hashData.length <= BYTES_MAX;
    if (!sound) state.sha1Thread = undefined;
    demand(sound, 'SHA_ERROR');
    thread.update(hashData);
    return {};
  },
});

/** Hashes the last bytes, at most a block, and returns the digest. The thread ends either way. */
function complete({ state }: Call, hashData: Uint8Array): Uint8Array {
  const thread = state.sha1Thread;
  state.sha1Thread = undefined;
  demand(hashData.length <= BLOCK_BYTES, 'SHA_ERROR');
  demand(thread !== undefined, 'SHA_THREAD');
  thread.update(hashData);
  return thread.finish();
}

export const sha1Complete = command({
  ordinal: 'SHA1Complete',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  sha1: 'continues',
  input: { hashData: sizedBuffer },
  output: { hashValue: digest },
  run: (call, { hashData }) => ({ hashValue: complete(call, hashData) }),
});

/** Ends, and extends a PCR with the digest. */
export const sha1CompleteExtend = command({
  ordinal: 'SHA1CompleteExtend',
  auth: 'none',
  when: 'working',
  selfTest: 'may be limited',
  sha1: 'continues',
  input: { pcrNum: u32, hashData: sizedBuffer },
  output: { hashValue: digest, outDigest: digest },
  run(call, { pcrNum, hashData }) {
    const hashValue = complete(call, hashData);
    return { hashValue, outDigest: extendPcr(call, pcrNum, hashValue) };
  },
});
