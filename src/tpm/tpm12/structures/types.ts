/**
 * Types that are numbers (TPM Main Part 2, §4): handles, entities, protocols, resources.
 * @module
 */

/** Part 2 §4.4.9 TPM_KEY_HANDLE: the handles that always are. */
// biome-ignore format: table
export const Handle = {
  SRK:      0x4000_0000,
  OWNER:    0x4000_0001,
  TRANSPORT: 0x4000_0003,
  OPERATOR: 0x4000_0004,
  EK:       0x4000_0006,
} as const;

/** Part 2 §4.3 TPM_PROTOCOL_ID. */
export const Protocol = {
  OIAP: 1,
  OSAP: 2,
  ADIP: 3,
  ADCP: 4,
  OWNER: 5,
  DSAP: 6,
  TRANSPORT: 7,
} as const;

/** Part 2 §4.4.3 TPM_ENTITY_TYPE, the low byte. */
// biome-ignore format: table
export const EntityType = {
  KEYHANDLE: 1,
  OWNER:     2,
  DATA:      3,
  SRK:       4,
  KEY:       5,
  DEL_OWNER_BLOB: 0x07,
  DEL_ROW:        0x08,
  DEL_KEY_BLOB:   0x09,
  COUNTER:   0x0a,
  NV:        0x0b,
} as const;

/** The high byte: how authorisation data is encrypted in a session. */
export const AdipScheme = { XOR: 0, AES128_CTR: 6 } as const;

/** Part 2 §4.1 TPM_RESOURCE_TYPE. */
export const Resource = { KEY: 1, AUTH: 2, TRANS: 4, CONTEXT: 5, COUNTER: 6, DAA: 8 } as const;

/** Part 2 §4.4.7 TPM_STARTUP_TYPE. */
export const StartupType = { CLEAR: 1, STATE: 2, DEACTIVATED: 3 } as const;

/** Part 2 §4.4.10 TPM_PHYSICAL_PRESENCE. */
// biome-ignore format: table
export const Presence = {
  LOCK:          0x0004,
  PRESENT:       0x0008,
  NOTPRESENT:    0x0010,
  CMD_ENABLE:    0x0020,
  HW_ENABLE:     0x0040,
  LIFETIME_LOCK: 0x0080,
  CMD_DISABLE:   0x0100,
  HW_DISABLE:    0x0200,
} as const;

/** Part 2, TPM_MIGRATE_SCHEME. */
export const MigrateScheme = {
  MIGRATE: 1,
  REWRAP: 2,
  RESTRICT_MIGRATE: 4,
  RESTRICT_APPROVE: 5,
} as const;

/** Part 2 §6.1: the tags of requests; a response has the tag of its request plus 3. */
export const Tag = { COMMAND: 0x00c1, AUTH1: 0x00c2, AUTH2: 0x00c3 } as const;
export const RESPONSE_TAG_OFFSET = 3;
