/**
 * Certified migration (TPM Main Part 2, §5.14 to §5.17 and §12): keys that migrate under the rules
 * of an authority, and the tickets that prove its consent.
 * @module
 */
import { encode, type Of } from '../../../wire/codec.js';
import { hmacSha1, sha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import type { Call } from '../call.js';
import { demand } from '../results.js';
import { cmkMaApproval, cmkMigauth, cmkSigticket, msaComposite } from '../structures/cmk-auth.js';
import { type Pubkey, pubkey } from '../structures/key-parms.js';

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
