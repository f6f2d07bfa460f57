/**
 * Delegation (TPM Main Part 2, §20): what an owner, or who knows a key's secret, lets somebody else
 * do, ordinal by ordinal.
 * @module
 */
import { encode } from '../../../wire/codec.js';
import { cbcDecrypt, cbcEncrypt } from '../../crypto/aes.js';
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
import { hasBit } from '../../kernel/bits.js';
import { demand } from '../results.js';
import { demandRelease } from '../state/pcr.js';
import type { Permanent } from '../state/permanent.js';
import { noBytes20 } from '../structures/basic.js';
import {
  type AnyBlob,
  type DelegatePublic,
  DelegateType,
  encodeBlob,
  FamilyFlag,
  sensitive,
} from '../structures/delegate-public.js';
import { hasFlag, type KeptKey, KeyUsage } from '../structures/key.js';
import { load } from '../structures/parsing.js';
import type { Here } from './here.js';

/** §5.17 TPM_CMK_DELEGATE: the usages of keys that a delegation may use under an authority. */
// biome-ignore format: table
const CMK_BITS: ReadonlyMap<number, number> = new Map([
  [KeyUsage.SIGNING, 31], [KeyUsage.STORAGE, 30], [KeyUsage.BIND, 29],
  [KeyUsage.LEGACY,  28], [KeyUsage.MIGRATE, 27],
]);

const grants = (map: number, bit: number | undefined): boolean =>
  bit !== undefined && hasBit(map, bit);

/** Demands that a delegation covers this command, here and now. */
export function demandPermission(
  { state, locality, delegable }: Here,
  { permissions, pcrInfo }: DelegatePublic,
  of: 'owner' | 'key' | 'other',
): void {
  const { delegateType, per1 } = permissions;
  const granted =
    of === 'owner'
      ? delegateType === DelegateType.OWNER && grants(per1, delegable.owner)
      : of === 'key' && delegateType === DelegateType.KEY && grants(per1, delegable.key);
  demand(granted, 'AUTHFAIL');
  demandRelease(state.stclear.pcrs, locality, pcrInfo);
}

/** Demands that a key under an authority may be used by delegation. */
export function demandUnrestricted({ state }: Here, key: KeptKey): void {
  if (!hasFlag(key, 'MIGRATEAUTHORITY')) return;
  const { restrictDelegate } = state.permanent.data;
  demand(grants(restrictDelegate, CMK_BITS.get(key.keyUsage)), 'INVALID_KEYUSAGE');
}

type Family = Permanent['data']['familyTable'][number];

/** @throws TpmFault BADINDEX where there is no such family */
export function findFamily({ state }: Here, familyID: number): Family {
  const { familyTable } = state.permanent.data;
  const found = familyTable.find(row => row.valid && row.familyID === familyID);
  demand(found !== undefined, 'BADINDEX');
  return found;
}

export function findEnabledFamily(call: Here, familyID: number): Family {
  const found = findFamily(call, familyID);
  demand((found.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  return found;
}

/** Demands that the family of a delegation is enabled, and was not verified anew since. */
export function demandVerified(call: Here, { familyID, verificationCount }: DelegatePublic): void {
  const family = findEnabledFamily(call, familyID);
  demand(verificationCount === family.verificationCount, 'FAMILYCOUNT');
}

/** @throws TpmFault BADINDEX where there is no such row */
export function findRow({ state }: Here, index: number) {
  const row = state.permanent.data.delegateTable[index];
  demand(row?.valid === true, 'BADINDEX');
  return row;
}

const integrityOf = ({ state }: Here, blob: AnyBlob): Uint8Array =>
  hmacSha1(state.permanent.data.tpmProof, encodeBlob({ ...blob, integrityDigest: noBytes20() }));

/** A blob under the proof of this TPM. */
export const provenBlob = (call: Here, blob: AnyBlob): AnyBlob => ({
  ...blob,
  integrityDigest: integrityOf(call, blob),
});

export function demandProven(call: Here, blob: AnyBlob): void {
  demand(sameSecret(integrityOf(call, blob), blob.integrityDigest), 'AUTHFAIL');
}

/** A secret as a blob carries it. */
export const sealSecret = ({ state }: Here, authValue: Uint8Array): Uint8Array =>
  cbcEncrypt(state.permanent.data.delegateKey.key, encode(sensitive, { authValue }));

export function openSecret({ state }: Here, blob: AnyBlob): Uint8Array {
  const clear = cbcDecrypt(state.permanent.data.delegateKey.key, blob.sensitiveArea);
  demand(clear !== undefined, 'DECRYPT_ERROR');
  return load(sensitive, clear).authValue;
}

/** The secret of a blob that came before there was an owner: nobody encrypted it. */
export const clearSecret = (blob: AnyBlob): Uint8Array =>
  load(sensitive, blob.sensitiveArea).authValue;
