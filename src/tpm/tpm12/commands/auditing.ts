/**
 * Auditing, as the owner sets and reads it (TPM Main Part 3, §8).
 * @module
 */
import { bool, concat, encode, u32 } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { auditedOrdinals, setAudited } from '../audit-log.js';
import { command } from '../command.js';
import type { CommandFacts } from '../environment.js';
import { authoriseKey, findKey } from '../keys/loaded.js';
import { signWith } from '../keys/use.js';
import { demand } from '../results.js';
import { counterValue, digest, noBytes20 } from '../structures/basic.js';
import { encodeSignInfo } from '../structures/certify-info.js';
import { sizedBuffer } from '../structures/codecs.js';
import { KeyUsage } from '../structures/key.js';
import { SigScheme } from '../structures/key-parms.js';

const listOf = (ordinals: readonly number[]): Uint8Array =>
  concat(...ordinals.map(ordinal => encode(u32, ordinal)));

/** The audit digest, and which ordinals are audited. */
export const getAuditDigest = command({
  ordinal: 'GetAuditDigest',
  auth: 'none',
  when: 'operational',
  audited: 'never',
  input: { startOrdinal: u32 },
  output: { counterValue, auditDigest: digest, more: bool, ordList: sizedBuffer },
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
  ordinal: 'GetAuditDigestSigned',
  auth: 'optional',
  when: 'owned',
  delegable: { key: 15 },
  audited: 'never',
  handles: { keyHandle: 'key' },
  input: { closeAudit: bool, antiReplay: digest },
  output: { counterValue, auditDigest: digest, ordinalDigest: digest, sig: sizedBuffer },
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

/** Turns auditing of an ordinal on or off. */
export const setOrdinalAuditStatus = command({
  ordinal: 'SetOrdinalAuditStatus',
  auth: 'one',
  when: 'owned',
  delegable: { owner: 30 },
  audited: 'from the start',
  input: { ordinalToAudit: u32, auditState: bool },
  run(call, { ordinalToAudit, auditState }) {
    call.authoriseOwner();
    if (auditState) demand(isAuditable(call.tpm.commands.get(ordinalToAudit)), 'BAD_PARAMETER');
    if (setAudited(call.state, ordinalToAudit, auditState)) call.altered = true;
    return {};
  },
});

/** What reads the audit is not audited itself. */
const isAuditable = (found: CommandFacts | undefined): boolean =>
  found !== undefined && found.audited !== 'never';
