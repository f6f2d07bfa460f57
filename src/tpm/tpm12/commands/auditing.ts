/**
 * Auditing, as the owner sets and reads it (TPM Main Part 3, §8).
 * @module
 */
import { bool, concat, encode, struct, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { auditedOrdinals, setAudited } from '../audit-log.js';
import { command } from '../command.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { counterValue, digest, noBytes20 } from '../structures/basic.js';
import { encodeSignInfo } from '../structures/certify-info.js';
import { nothing, sizedBuffer } from '../structures/codecs.js';
import { KeyUsage } from '../structures/key.js';
import { SigScheme } from '../structures/key-parms.js';

const listOf = (ordinals: readonly number[]): Uint8Array =>
  concat(...ordinals.map(ordinal => encode(u32, ordinal)));

/** The audit digest, and which ordinals are audited. */
export const getAuditDigest = command({
  ordinal: 0x85,
  name: 'TPM_GetAuditDigest',
  auth: 'none',
  when: 'operational',
  input: struct({ startOrdinal: u32 }),
  output: struct({ counterValue, auditDigest: digest, more: bool, ordList: sizedBuffer }),
  run({ state }, { startOrdinal }) {
    return {
      counterValue: state.permanent.data.auditMonotonicCounter.value,
      auditDigest: state.stclear.auditDigest,
      more: false,
      ordList: listOf(auditedOrdinals(state, startOrdinal)),
    };
  },
});

const ATTESTERS: readonly number[] = [KeyUsage.SIGNING, KeyUsage.IDENTITY, KeyUsage.LEGACY];

const SCHEMES: readonly number[] = [SigScheme.PKCS1_SHA1, SigScheme.PKCS1_INFO];

/** Signs the audit digest; an identity key may also close it. */
export const getAuditDigestSigned = command({
  ordinal: 0x86,
  name: 'TPM_GetAuditDigestSigned',
  auth: 'optional',
  when: 'owned',
  handleBytes: { input: 4, output: 0 },
  input: struct({ keyHandle: u32, closeAudit: bool, antiReplay: digest }),
  output: struct({ counterValue, auditDigest: digest, ordinalDigest: digest, sig: sizedBuffer }),
  run(call, { keyHandle, closeAudit, antiReplay }) {
    const { state } = call;
    const { key } = findKey(call, keyHandle);
    authoriseKey(call, key);
    demand(ATTESTERS.includes(key.keyUsage), 'INVALID_KEYUSAGE');
    demand(SCHEMES.includes(key.algorithmParms.sigScheme), 'INVALID_KEYUSAGE');
    const { value } = state.permanent.data.auditMonotonicCounter;
    const ordinalDigest = sha1(listOf(auditedOrdinals(state, 0)));
    const audited = concat(state.stclear.auditDigest, encode(counterValue, value), ordinalDigest);
    const sig = signWith(key, sha1(encodeSignInfo('ADIG', antiReplay, audited)));
    if (closeAudit) {
      demand(key.keyUsage === KeyUsage.IDENTITY, 'INVALID_KEYUSAGE');
      state.stclear.auditDigest = noBytes20();
    }
    const { auditDigest } = state.stclear;
    return { counterValue: value, auditDigest, ordinalDigest, sig };
  },
});

/** Has an ordinal audited, or not any more. */
export const setOrdinalAuditStatus = command({
  ordinal: 0x8d,
  name: 'TPM_SetOrdinalAuditStatus',
  auth: 'one',
  when: 'owned',
  input: struct({ ordinalToAudit: u32, auditState: bool }),
  output: nothing,
  run(call, { ordinalToAudit, auditState }) {
    call.authoriseOwner();
    if (auditState) demand(isAuditable(call.tpm, ordinalToAudit), 'BAD_PARAMETER');
    if (setAudited(call.state, ordinalToAudit, auditState)) call.altered = true;
    return {};
  },
});

/** What reads the audit is not audited itself. */
const NEVER_AUDITED = new Set([0x85, 0x86]);

const isAuditable = (
  { isImplemented }: { isImplemented: (ordinal: number) => boolean },
  ordinal: number,
): boolean => isImplemented(ordinal) && !NEVER_AUDITED.has(ordinal);
