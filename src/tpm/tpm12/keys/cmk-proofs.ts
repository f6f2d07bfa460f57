/**
 * Certified migration (TPM Main Part 2, §5.14 to §5.17 and §12): keys that migrate under the rules of
 * an authority, and the tickets that prove its consent.
 * @module
 */
import { type Codec, encode, type Of, struct, u32 } from '../../../wire/codec.js';
import { hmacSha1, sameSecret, sha1 } from '../../crypto/rsa.js';
import type { Call } from '../call.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest, type Pubkey, pubkey, structure } from '../structures/basic.js';

const cmkMigauth = structure(0x0033, { msaDigest: digest, pubKeyDigest: digest });
const cmkSigticket = structure(0x0034, { verKeyDigest: digest, signedData: digest });
const cmkMaApproval = structure(0x0035, { migrationAuthorityDigest: digest });

// biome-ignore format: table
export const cmkAuth = struct({
  migrationAuthorityDigest: digest,
  destinationKeyDigest:     digest,
  sourceKeyDigest:          digest,
});

/** TPM_MSA_COMPOSITE: the digests of the authorities, and not none of them. */
export const msaComposite: Codec<Uint8Array[]> = {
  size: undefined,
  read(from) {
    const count = u32.read(from);
    demand(count > 0, 'INVALID_STRUCTURE');
    demand(20 * count <= LIMITS.allocationBytes, 'SIZE');
    const list: Uint8Array[] = [];
    for (let at = 0; at < count; at += 1) list.push(digest.read(from));
    return list;
  },
  write(to, list) {
    u32.write(to, list.length);
    for (const one of list) digest.write(to, one);
  },
};

const proofOf = ({ state }: Call): Uint8Array => state.permanent.data.tpmProof;

export const pubkeyDigest = (key: Pubkey): Uint8Array =>
  sha1(encode(pubkey, { algorithmParms: key.algorithmParms, pubKey: key.pubKey }));

export const msaDigest = (list: Uint8Array[]): Uint8Array => sha1(encode(msaComposite, list));

/** The migration secret of a key that migrates under the rules of authorities. */
export const migrationProof = (call: Call, value: Of<typeof cmkMigauth>): Uint8Array =>
  hmacSha1(proofOf(call), encode(cmkMigauth, value));

/** The owner's consent to authorities. */
export const approval = (call: Call, migrationAuthorityDigest: Uint8Array): Uint8Array =>
  hmacSha1(proofOf(call), encode(cmkMaApproval, { migrationAuthorityDigest }));

/** The proof that a key signed something. */
export const ticket = (call: Call, value: Of<typeof cmkSigticket>): Uint8Array =>
  hmacSha1(proofOf(call), encode(cmkSigticket, value));

/** Demands a ticket of any of the authorities. */
export function demandTicket(
  call: Call,
  given: Uint8Array,
  list: readonly Uint8Array[],
  signedData: Uint8Array,
): void {
  const known = list.some(verKeyDigest =>
    sameSecret(ticket(call, { verKeyDigest, signedData }), given),
  );
  demand(known, 'MA_TICKET_SIGNATURE');
}
