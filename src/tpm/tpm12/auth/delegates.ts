/**
 * Delegation (TPM Main Part 2, §20): what an owner, or who knows a key's secret, lets somebody else
 * do, ordinal by ordinal.
 * @module
 */
import { encode } from '../../../wire/codec.js';
import { cbcDecrypt, cbcEncrypt } from '../../crypto/aes.js';
import { hmacSha1 } from '../../crypto/hash.js';
import { sameSecret } from '../../crypto/secrets.js';
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
import type { CallContext } from './call-context.js';

/** §20.2.1: the bit that lets somebody else do what is the owner's, by ordinal. */
// biome-ignore format: table
const OWNER_BITS: ReadonlyMap<number, number> = new Map([
  [0x23, 31], [0x8d, 30], [0x19, 29], [0x1d, 28], [0xcd, 27], [0x12, 26], [0xcf, 25], [0xd8, 24],
  [0x29, 23], [0x2b, 22], [0x2c, 21], [0x2d, 20], [0x2e, 19], [0x81, 18], [0x40, 17], [0x5b, 16],
  [0x5c, 15], [0xcc, 14], [0x6e, 13], [0x3f, 12], [0x79, 11], [0x7a, 10], [0x7d,  9], [0x7e,  8],
  [0x9a,  7], [0xaa,  6], [0xd1,  5], [0xdc,  4], [0xe0,  3], [0xd2,  2], [0xd5,  1], [0x31,  0],
]);

/** §20.2.3: the same for a key. libtpms does not count TPM_CMK_ConvertMigration among them. */
// biome-ignore format: table
const KEY_BITS: ReadonlyMap<number, number> = new Map([
  [0xf2, 27], [0x0e, 26], [0x0f, 25], [0x13, 24], [0x25, 23], [0x41, 22], [0xe6, 21],
  [0xe8, 20], [0x3e, 19], [0x3d, 18], [0x79, 17], [0x7a, 16], [0x86, 15], [0x3c, 14], [0x33, 13],
  [0x32, 12], [0x1f, 11], [0x1b, 10], [0x28,  9], [0x2a,  8], [0xd4,  7], [0x0c,  6], [0x21,  5],
  [0x1e,  4], [0x16,  3], [0x18,  2], [0x17,  1], [0x20,  0],
]);

/** §5.17 TPM_CMK_DELEGATE: the usages of keys that a delegation may use under an authority. */
// biome-ignore format: table
const CMK_BITS: ReadonlyMap<number, number> = new Map([
  [KeyUsage.SIGNING, 31], [KeyUsage.STORAGE, 30], [KeyUsage.BIND, 29],
  [KeyUsage.LEGACY,  28], [KeyUsage.MIGRATE, 27],
]);

const bitOf = (map: number, bit: number | undefined): boolean =>
  bit !== undefined && Math.floor(map / 2 ** bit) % 2 === 1;

/** Demands that a delegation covers this command, here and now. */
export function demandPermission(
  { state, locality, ordinal }: CallContext,
  { permissions, pcrInfo }: DelegatePublic,
  of: 'owner' | 'key' | 'other',
): void {
  const { delegateType, per1 } = permissions;
  const granted =
    of === 'owner'
      ? delegateType === DelegateType.OWNER && bitOf(per1, OWNER_BITS.get(ordinal))
      : of === 'key' && delegateType === DelegateType.KEY && bitOf(per1, KEY_BITS.get(ordinal));
  demand(granted, 'AUTHFAIL');
  demandRelease(state.stclear.pcrs, locality, pcrInfo);
}

/** Demands that a key under an authority may be used by delegation. */
export function demandUnrestricted({ state }: CallContext, key: KeptKey): void {
  if (!hasFlag(key, 'MIGRATEAUTHORITY')) return;
  const { restrictDelegate } = state.permanent.data;
  demand(bitOf(restrictDelegate, CMK_BITS.get(key.keyUsage)), 'INVALID_KEYUSAGE');
}

type Family = Permanent['data']['familyTable'][number];

/** @throws TpmFault BADINDEX where there is no such family */
export function findFamily({ state }: CallContext, familyID: number): Family {
  const { familyTable } = state.permanent.data;
  const found = familyTable.find(row => row.valid && row.familyID === familyID);
  demand(found !== undefined, 'BADINDEX');
  return found;
}

export function findEnabledFamily(call: CallContext, familyID: number): Family {
  const found = findFamily(call, familyID);
  demand((found.flags & FamilyFlag.ENABLED) !== 0, 'DISABLED_CMD');
  return found;
}

/** Demands that the family of a delegation is enabled, and was not verified anew since. */
export function demandVerified(
  call: CallContext,
  { familyID, verificationCount }: DelegatePublic,
): void {
  const family = findEnabledFamily(call, familyID);
  demand(verificationCount === family.verificationCount, 'FAMILYCOUNT');
}

/** @throws TpmFault BADINDEX where there is no such row */
export function findRow({ state }: CallContext, index: number) {
  const row = state.permanent.data.delegateTable[index];
  demand(row?.valid === true, 'BADINDEX');
  return row;
}

const integrityOf = ({ state }: CallContext, blob: AnyBlob): Uint8Array =>
  hmacSha1(state.permanent.data.tpmProof, encodeBlob({ ...blob, integrityDigest: noBytes20() }));

/** A blob under the proof of this TPM. */
export const provenBlob = (call: CallContext, blob: AnyBlob): AnyBlob => ({
  ...blob,
  integrityDigest: integrityOf(call, blob),
});

export function demandProven(call: CallContext, blob: AnyBlob): void {
  demand(sameSecret(integrityOf(call, blob), blob.integrityDigest), 'AUTHFAIL');
}

/** A secret as a blob carries it. */
export const sealSecret = ({ state }: CallContext, authValue: Uint8Array): Uint8Array =>
  cbcEncrypt(state.permanent.data.delegateKey.key, encode(sensitive, { authValue }));

export function openSecret({ state }: CallContext, blob: AnyBlob): Uint8Array {
  const clear = cbcDecrypt(state.permanent.data.delegateKey.key, blob.sensitiveArea);
  demand(clear !== undefined, 'DECRYPT_ERROR');
  return load(sensitive, clear).authValue;
}

/** The secret of a blob that came before there was an owner: nobody encrypted it. */
export const clearSecret = (blob: AnyBlob): Uint8Array =>
  load(sensitive, blob.sensitiveArea).authValue;
