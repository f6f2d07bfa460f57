/**
 * TPM_Sign (TPM Main Part 3, §13.5).
 * @module
 */

import { sha1 } from '../../crypto/hash.js';
import type { Call } from '../call.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { encodeSignInfo } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import { type KeptKey, KeyUsage } from '../structures/key.js';
import { SigScheme } from '../structures/key-parms.js';

const SIGNERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.LEGACY];

export const ATTESTERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.IDENTITY, KeyUsage.LEGACY];

export const DIGEST_SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];

const DIGEST_BYTES = 20;

/** Bytes that PKCS #1 v1.5 needs around a message. */
const PADDING_BYTES = 11;

/** Signs what the guest sends, in the scheme of the key. */
export const sign = command({
  ordinal: 'Sign',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 14 },
  handles: { keyHandle: 'key' },
  input: { areaToSign: sizedBuffer },
  output: { sig: sizedBuffer },
  run(call, { keyHandle, areaToSign }) {
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    demand(areaToSign.length > 0, 'BAD_PARAMETER');
    demand(SIGNERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
    return { sig: signWith(key, messageOf(call, key, areaToSign)) };
  },
});

function messageOf(
  call: Call<'optional'>,
  { algorithmParms }: KeptKey,
  area: Uint8Array,
): Uint8Array {
  switch (algorithmParms.sigScheme) {
    case SigScheme.PKCS1_SHA1:
      demand(area.length === DIGEST_BYTES, 'BAD_PARAMETER');
      return area;
    case SigScheme.PKCS1_INFO:
      demand(call.auth !== undefined, 'BAD_PARAMETER');
      return sha1(encodeSignInfo('SIGN', call.auth.nonceOdd, area));
    default: {
      const room = Math.floor((algorithmParms.rsa?.keyLength ?? 0) / 8) - PADDING_BYTES;
      demand(area.length <= room, 'BAD_PARAMETER');
      return area;
    }
  }
}
