/**
 * Numbers of TPM 1.2 that a guest writes into its commands: ordinals (TPM Main Part 2 §17), tags
 * (§6), handles, entity types, startup types, capability areas (§21) and NV attributes (§19).
 * @module
 */
export { ORDINALS, type OrdinalName, ordinalName } from '../tpm/tpm12/ordinals.js';
export {
  Capability as CAP,
  Property as PROPERTY,
} from '../tpm/tpm12/structures/capability-info.js';
export { NvPermission as NV_PER } from '../tpm/tpm12/structures/nv-data.js';
export {
  EntityType as ENTITY,
  Handle as HANDLE,
  Presence as PRESENCE,
  Resource as RESOURCE,
  StartupType as STARTUP,
} from '../tpm/tpm12/structures/types.js';

// biome-ignore format: table
export const TAG = {
  RQU_COMMAND:       0x00c1,
  RQU_AUTH1_COMMAND: 0x00c2,
  RQU_AUTH2_COMMAND: 0x00c3,
  RSP_COMMAND:       0x00c4,
  RSP_AUTH1_COMMAND: 0x00c5,
  RSP_AUTH2_COMMAND: 0x00c6,
} as const;

export const FLAG = { PERMANENT: 0x108, VOLATILE: 0x109 } as const;

/** Indices with a meaning of their own: NV lock, global write lock, and the old DIR register. */
export const NV_INDEX = { LOCK: 0xffff_ffff, ZERO: 0, DIR: 0x1000_0001 } as const;
