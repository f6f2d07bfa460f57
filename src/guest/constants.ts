/**
 * Numbers of TPM 1.2 that a guest writes into its commands: ordinals (TPM Main Part 2 §17), tags
 * (§6), handles, entity types, startup types, capability areas (§21) and NV attributes (§19).
 * @module
 */

// biome-ignore format: table
export const ORDINALS = {
  OIAP:                            0x0a,
  OSAP:                            0x0b,
  ChangeAuth:                      0x0c,
  TakeOwnership:                   0x0d,
  ChangeAuthAsymStart:             0x0e,
  ChangeAuthAsymFinish:            0x0f,
  ChangeAuthOwner:                 0x10,
  DSAP:                            0x11,
  CMK_CreateTicket:                0x12,
  CMK_CreateKey:                   0x13,
  Extend:                          0x14,
  PcrRead:                         0x15,
  Quote:                           0x16,
  Seal:                            0x17,
  Unseal:                          0x18,
  DirWriteAuth:                    0x19,
  DirRead:                         0x1a,
  CMK_CreateBlob:                  0x1b,
  CMK_SetRestrictions:             0x1c,
  CMK_ApproveMA:                   0x1d,
  UnBind:                          0x1e,
  CreateWrapKey:                   0x1f,
  LoadKey:                         0x20,
  GetPubKey:                       0x21,
  EvictKey:                        0x22,
  KeyControlOwner:                 0x23,
  CMK_ConvertMigration:            0x24,
  MigrateKey:                      0x25,
  CreateMigrationBlob:             0x28,
  DAA_Join:                        0x29,
  ConvertMigrationBlob:            0x2a,
  AuthorizeMigrationKey:           0x2b,
  DAA_Sign:                        0x31,
  CertifyKey:                      0x32,
  CertifyKey2:                     0x33,
  Sign:                            0x3c,
  Sealx:                           0x3d,
  Quote2:                          0x3e,
  SetCapability:                   0x3f,
  ResetLockValue:                  0x40,
  LoadKey2:                        0x41,
  GetRandom:                       0x46,
  StirRandom:                      0x47,
  SelfTestFull:                    0x50,
  ContinueSelfTest:                0x53,
  GetTestResult:                   0x54,
  Reset:                           0x5a,
  OwnerClear:                      0x5b,
  DisableOwnerClear:               0x5c,
  ForceClear:                      0x5d,
  DisableForceClear:               0x5e,
  GetCapability:                   0x65,
  GetCapabilityOwner:              0x66,
  OwnerSetDisable:                 0x6e,
  PhysicalEnable:                  0x6f,
  PhysicalDisable:                 0x70,
  SetOwnerInstall:                 0x71,
  PhysicalSetDeactivated:          0x72,
  SetTempDeactivated:              0x73,
  SetOperatorAuth:                 0x74,
  SetOwnerPointer:                 0x75,
  CreateEndorsementKeyPair:        0x78,
  MakeIdentity:                    0x79,
  ActivateIdentity:                0x7a,
  ReadPubek:                       0x7c,
  OwnerReadPubek:                  0x7d,
  DisablePubekRead:                0x7e,
  CreateRevocableEK:               0x7f,
  RevokeTrust:                     0x80,
  OwnerReadInternalPub:            0x81,
  GetAuditDigest:                  0x85,
  GetAuditDigestSigned:            0x86,
  SetOrdinalAuditStatus:           0x8d,
  Terminate_Handle:                0x96,
  Init:                            0x97,
  SaveState:                       0x98,
  Startup:                         0x99,
  SHA1Start:                       0xa0,
  SHA1Update:                      0xa1,
  SHA1Complete:                    0xa2,
  SHA1CompleteExtend:              0xa3,
  SaveKeyContext:                  0xb4,
  LoadKeyContext:                  0xb5,
  SaveAuthContext:                 0xb6,
  LoadAuthContext:                 0xb7,
  SaveContext:                     0xb8,
  LoadContext:                     0xb9,
  FlushSpecific:                   0xba,
  PCR_Reset:                       0xc8,
  NV_DefineSpace:                  0xcc,
  NV_WriteValue:                   0xcd,
  NV_WriteValueAuth:               0xce,
  NV_ReadValue:                    0xcf,
  NV_ReadValueAuth:                0xd0,
  Delegate_UpdateVerification:     0xd1,
  Delegate_Manage:                 0xd2,
  Delegate_CreateKeyDelegation:    0xd4,
  Delegate_CreateOwnerDelegation:  0xd5,
  Delegate_VerifyDelegation:       0xd6,
  Delegate_LoadOwnerDelegation:    0xd8,
  Delegate_ReadTable:              0xdb,
  CreateCounter:                   0xdc,
  IncrementCounter:                0xdd,
  ReadCounter:                     0xde,
  ReleaseCounter:                  0xdf,
  ReleaseCounterOwner:             0xe0,
  EstablishTransport:              0xe6,
  ExecuteTransport:                0xe7,
  ReleaseTransportSigned:          0xe8,
  GetTicks:                        0xf1,
  TickStampBlob:                   0xf2,
  TSC_PhysicalPresence:            0x4000_000a,
  TSC_ResetEstablishmentBit:       0x4000_000b,
} as const;
/** The name of a command, without `TPM_`. */
export type OrdinalName = keyof typeof ORDINALS;

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ORDINALS).map(([name, ordinal]) => [
    ordinal,
    `TPM_${name}`.replace('TPM_TSC', 'TSC'),
  ]),
);

/** The specification's name of an ordinal; its number in hex where this client does not have it. */
export const ordinalName = (ordinal: number): string =>
  NAMES.get(ordinal) ?? `ordinal 0x${ordinal.toString(16)}`;

// biome-ignore format: table
export const TAG = {
  RQU_COMMAND:       0x00c1,
  RQU_AUTH1_COMMAND: 0x00c2,
  RQU_AUTH2_COMMAND: 0x00c3,
  RSP_COMMAND:       0x00c4,
  RSP_AUTH1_COMMAND: 0x00c5,
  RSP_AUTH2_COMMAND: 0x00c6,
} as const;

export const STARTUP = { CLEAR: 1, STATE: 2, DEACTIVATED: 3 } as const;

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
