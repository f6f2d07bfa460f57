/**
 * Delegate structures (TPM Main Part 2, §20).
 * @module
 */
import { encode, type Of, struct, u8, u16, u32 } from '../../../wire/codec.js';
import { demand } from '../results.js';
import { digest, secret } from './basic.js';
import { restricted, sizedBuffer, structure } from './codecs.js';
import { load } from './parsing.js';
import { noPcrInfoShort, pcrInfoShort } from './pcr-info.js';

/** §20.2 TPM_DELEGATIONS. */
// biome-ignore format: table
const anyDelegations = structure(0x001a, {
  delegateType: u32,
  per1:         u32,
  per2:         u32,
});

export const DelegateType = { OWNER: 1, KEY: 2 } as const;

/** The bits of per1 that mean something; none of per2 does. */
const KEY_PERMISSIONS = 0x1fff_ffff;

const delegations = restricted(
  anyDelegations,
  ({ delegateType, per1, per2 }) =>
    per2 === 0 &&
    (delegateType === DelegateType.OWNER ||
      (delegateType === DelegateType.KEY && per1 <= KEY_PERMISSIONS)),
  'BAD_PARAMETER',
);

/** §20.4 TPM_DELEGATE_PUBLIC. */
// biome-ignore format: table
export const delegatePublic = structure(0x001b, {
  rowLabel:          u8,
  pcrInfo:           pcrInfoShort,
  permissions:       delegations,
  familyID:          u32,
  verificationCount: u32,
});

/** The same where it must be of one type. */
export const delegatePublicOf = (type: number): typeof delegatePublic =>
  restricted(
    delegatePublic,
    ({ permissions }) => permissions.delegateType === type,
    'INVALID_STRUCTURE',
  );

export type DelegatePublic = Of<typeof delegatePublic>;

export const noDelegatePublic = (): DelegatePublic => ({
  rowLabel: 0,
  pcrInfo: noPcrInfoShort(),
  permissions: { delegateType: DelegateType.KEY, per1: 0, per2: 0 },
  familyID: 0,
  verificationCount: 0,
});

/** §20.3 TPM_FAMILY_FLAGS. */
export const FamilyFlag = { ENABLED: 1, ADMIN_LOCK: 2 } as const;

/** §20.10 TPM_DELEGATE_OWNER_BLOB and §20.11 TPM_DELEGATE_KEY_BLOB. */
// biome-ignore format: table
export const ownerBlob = structure(0x002a, {
  pub:             delegatePublicOf(DelegateType.OWNER),
  integrityDigest: digest,
  additionalArea:  sizedBuffer,
  sensitiveArea:   sizedBuffer,
});

// biome-ignore format: table
export const keyBlob = structure(0x0027, {
  pub:             delegatePublicOf(DelegateType.KEY),
  integrityDigest: digest,
  pubKeyDigest:    digest,
  additionalArea:  sizedBuffer,
  sensitiveArea:   sizedBuffer,
});

export const sensitive = structure(0x0026, { authValue: secret });

export interface AnyBlob {
  readonly pub: DelegatePublic;
  readonly integrityDigest: Uint8Array;
  readonly additionalArea: Uint8Array;
  readonly sensitiveArea: Uint8Array;
  /** Of the key, where the blob is for one. */
  readonly pubKeyDigest?: Uint8Array;
}

export const encodeBlob = (blob: AnyBlob): Uint8Array =>
  blob.pubKeyDigest === undefined
    ? encode(ownerBlob, blob)
    : encode(keyBlob, { ...blob, pubKeyDigest: blob.pubKeyDigest });

/** The public part of a row of the table. */
export const publicRow = struct({ index: u32, pub: delegatePublic });

// biome-ignore format: table
export const familyEntry = structure(0x0025, {
  label:             u8,
  familyID:          u32,
  verificationCount: u32,
  flags:             u32,
});

const TAG_OWNER_BLOB = 0x2a;

const TAG_KEY_BLOB = 0x27;

/** A blob of either kind, which tells itself by its tag. */
export function anyBlob(bytes: Uint8Array): AnyBlob {
  const tag = load(u16, bytes);
  if (tag === TAG_OWNER_BLOB) return load(ownerBlob, bytes);
  demand(tag === TAG_KEY_BLOB, 'BAD_PARAMETER');
  return load(keyBlob, bytes);
}
