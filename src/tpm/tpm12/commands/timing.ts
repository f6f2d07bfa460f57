/**
 * Timing ticks (TPM Main Part 3, §23).
 * @module
 */
import { encode, struct } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { digest, nonce } from '../structures/basic.js';
import { encodeSignInfo } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import { currentTicks } from '../structures/current-ticks.js';
import { ticksNow } from '../ticks.js';
import { ATTESTERS, DIGEST_SCHEMES } from './signing.js';

const stamped = struct({ digestToStamp: digest, currentTicks });

/** Signs a digest together with the ticks. */
export const tickStampBlob = command({
  ordinal: 'TickStampBlob',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 27 },
  handles: { keyHandle: 'key' },
  input: { antiReplay: nonce, digestToStamp: digest },
  output: { currentTicks, sig: sizedBuffer },
  run(call, { keyHandle, antiReplay, digestToStamp }) {
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    demand(ATTESTERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
    demand(DIGEST_SCHEMES.includes(key.algorithmParms.sigScheme), 'INAPPROPRIATE_SIG');
    const ticks = ticksNow(call.tpm);
    const data = encode(stamped, { digestToStamp, currentTicks: ticks });
    return {
      currentTicks: ticks,
      sig: signWith(key, sha1(encodeSignInfo('TSTP', antiReplay, data))),
    };
  },
});

/** The microseconds since power on, and the nonce of this power cycle. */
export const getTicks = command({
  ordinal: 'GetTicks',
  auth: 'none',
  when: 'operational',
  output: { currentTime: currentTicks },
  run: ({ tpm }) => ({ currentTime: ticksNow(tpm) }),
});
