/**
 * Numbers of TPM 1.2 that a guest writes into its commands: ordinals (TPM Main Part 2 §17), tags
 * (§6), handles, entity types, startup types, capability areas (§21) and NV attributes (§19).
 * @module
 */
export { ORDINALS, type OrdinalName, ordinalName } from '../tpm/tpm12/ordinals.js';

// biome-ignore format: table
export const TAG = {
  RQU_COMMAND:       0x00c1,
  RQU_AUTH1_COMMAND: 0x00c2,
  RQU_AUTH2_COMMAND: 0x00c3,
  RSP_COMMAND:       0x00c4,
  RSP_AUTH1_COMMAND: 0x00c5,
  RSP_AUTH2_COMMAND: 0x00c6,
} as const;

export { StartupType as STARTUP } from '../tpm/tpm12/structures/types.js';

// biome-ignore format: table
export const ENTITY = { KEYHANDLE: 1, OWNER: 2, DATA: 3, SRK: 4, KEY: 5, COUNTER: 0x0a, NV: 0x0b } as const;

// biome-ignore format: table
export const HANDLE = {
  SRK:   0x4000_0000,
  OWNER: 0x4000_0001,
  EK:    0x4000_0006,
} as const;

export const RESOURCE = { KEY: 1, AUTH: 2, TRANS: 4, COUNTER: 6, DAA: 8 } as const;

// biome-ignore format: table
export const CAP = {
  ORD:          0x01,
  ALG:          0x02,
  PID:          0x03,
  FLAG:         0x04,
  PROPERTY:     0x05,
  VERSION:      0x06,
  KEY_HANDLE:   0x07,
  CHECK_LOADED: 0x08,
  SYM_MODE:     0x09,
  KEY_STATUS:   0x0c,
  NV_LIST:      0x0d,
  MFR:          0x10,
  NV_INDEX:     0x11,
  TRANS_ALG:    0x12,
  HANDLE:       0x14,
  TRANS_ES:     0x15,
  AUTH_ENCRYPT: 0x17,
  SELECT_SIZE:  0x18,
  DA_LOGIC:     0x19,
  VERSION_VAL:  0x1a,
} as const;

// biome-ignore format: table
export const PROPERTY = {
  PCR:              0x101,
  DIR:              0x102,
  MANUFACTURER:     0x103,
  KEYS:             0x104,
  MIN_COUNTER:      0x107,
  AUTHSESS:         0x10a,
  TRANSESS:         0x10b,
  COUNTERS:         0x10c,
  MAX_AUTHSESS:     0x10d,
  MAX_TRANSESS:     0x10e,
  MAX_COUNTERS:     0x10f,
  MAX_KEYS:         0x110,
  OWNER:            0x111,
  CONTEXT:          0x112,
  MAX_CONTEXT:      0x113,
  FAMILYROWS:       0x114,
  TIS_TIMEOUT:      0x115,
  STARTUP_EFFECT:   0x116,
  DELEGATE_ROW:     0x117,
  MAX_DAASESS:      0x119,
  DAASESS:          0x11a,
  CONTEXT_DIST:     0x11b,
  DAA_INTERRUPT:    0x11c,
  SESSIONS:         0x11d,
  MAX_SESSIONS:     0x11e,
  CMK_RESTRICTION:  0x11f,
  DURATION:         0x120,
  ACTIVE_COUNTER:   0x122,
  MAX_NV_AVAILABLE: 0x123,
  INPUT_BUFFER:     0x124,
} as const;

export const FLAG = { PERMANENT: 0x108, VOLATILE: 0x109 } as const;

// biome-ignore format: table
export const PRESENCE = {
  LOCK:          0x0004,
  PRESENT:       0x0008,
  NOTPRESENT:    0x0010,
  CMD_ENABLE:    0x0020,
  HW_ENABLE:     0x0040,
  LIFETIME_LOCK: 0x0080,
  CMD_DISABLE:   0x0100,
  HW_DISABLE:    0x0200,
} as const;

// biome-ignore format: table
export const NV_PER = {
  PPWRITE:       0x0000_0001,
  OWNERWRITE:    0x0000_0002,
  AUTHWRITE:     0x0000_0004,
  WRITEALL:      0x0000_1000,
  WRITEDEFINE:   0x0000_2000,
  WRITE_STCLEAR: 0x0000_4000,
  GLOBALLOCK:    0x0000_8000,
  PPREAD:        0x0001_0000,
  OWNERREAD:     0x0002_0000,
  AUTHREAD:      0x0004_0000,
  READ_STCLEAR:  0x8000_0000,
} as const;

/** Indices with a meaning of their own: NV lock, global write lock, and the old DIR register. */
export const NV_INDEX = { LOCK: 0xffff_ffff, ZERO: 0, DIR: 0x1000_0001 } as const;
