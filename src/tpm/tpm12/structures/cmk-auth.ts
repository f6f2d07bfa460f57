/**
 * Structures of certified migration (TPM Main Part 2, §5.15 to §5.21).
 * @module
 */
import { type Codec, struct, u32 } from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest } from './basic.js';
import { structure } from './codecs.js';

export const cmkMigauth = structure(0x0033, { msaDigest: digest, pubKeyDigest: digest });

export const cmkSigticket = structure(0x0034, { verKeyDigest: digest, signedData: digest });

export const cmkMaApproval = structure(0x0035, { migrationAuthorityDigest: digest });

// biome-ignore format: table
export const cmkAuth = struct({
  migrationAuthorityDigest: digest,
  destinationKeyDigest:     digest,
  sourceKeyDigest:          digest,
});

const DIGEST_BYTES = 20;

/**
 * TPM_MSA_COMPOSITE: the digests of the authorities, at least one. libtpms computes what it allocates for
 * them in 32 bits; where that overflows, it is the missing digests that it refuses.
 */
export const msaComposite: Codec<Uint8Array[]> = {
  size: undefined,
  read(from) {
    const count = u32.read(from);
    demand(count > 0, 'INVALID_STRUCTURE');
    const allocated = (count * DIGEST_BYTES) % 2 ** 32;
    demand(allocated > 0 && allocated <= LIMITS.allocationBytes, 'SIZE');
    const list: Uint8Array[] = [];
    for (let at = 0; at < count; at += 1) list.push(digest.read(from));
    return list;
  },
  write(to, list) {
    u32.write(to, list.length);
    for (const one of list) digest.write(to, one);
  },
};
