/**
 * Which ordinals a new TPM audits (TPM Main Part 3, §8; the default set is libtpms's), as the map of
 * TPM_PERMANENT_DATA.ordinalAuditStatus: a bit an ordinal, ordinal 0 in the lowest bit of byte 0.
 * @module
 */

// biome-ignore format: table
const AUDITED_BY_DEFAULT: Readonly<Record<string, number>> = {
  TPM_TakeOwnership:        0x0d,
  TPM_ChangeAuthOwner:      0x10,
  TPM_CreateWrapKey:        0x1f,
  TPM_CreateMigrationBlob:  0x28,
  TPM_ConvertMigrationBlob: 0x2a,
  TPM_AuthorizeMigrationKey: 0x2b,
  TPM_OwnerClear:           0x5b,
  TPM_DisableOwnerClear:    0x5c,
  TPM_ForceClear:           0x5d,
  TPM_DisableForceClear:    0x5e,
  TPM_OwnerSetDisable:      0x6e,
  TPM_PhysicalEnable:       0x6f,
  TPM_PhysicalDisable:      0x70,
  TPM_SetOwnerInstall:      0x71,
  TPM_PhysicalSetDeactivated: 0x72,
  TPM_SetTempDeactivated:   0x73,
  TPM_MakeIdentity:         0x79,
  TPM_ActivateIdentity:     0x7a,
  TPM_ReadPubek:            0x7c,
  TPM_OwnerReadPubek:       0x7d,
  TPM_DisablePubekRead:     0x7e,
  TPM_SetOrdinalAuditStatus: 0x8d,
};

/** The map of ordinals that are audited from the start, and again after the owner was cleared. */
export function auditedByDefault(): Uint8Array {
  const map = new Uint8Array(32);
  for (const ordinal of Object.values(AUDITED_BY_DEFAULT)) {
    map[Math.floor(ordinal / 8)]! += 2 ** (ordinal % 8);
  }
  return map;
}
