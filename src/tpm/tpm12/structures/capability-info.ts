/**
 * Capability areas, and what the capability commands answer with (TPM Main Part 2, §21).
 * @module
 */
import { bytes, sized, struct, u8, u16, u32 } from '../../../wire/codec.js';
import { restricted, sizedBuffer, structure } from './codecs.js';

/** §21.1 TPM_CAPABILITY_AREA. */
// biome-ignore format: table
export const Capability = {
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

/** §21.2: the sub-capabilities of TPM_CAP_PROPERTY. */
// biome-ignore format: table
export const Property = {
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

/** §21.8 TPM_SELECT_SIZE. */
// biome-ignore format: table
export const selectSize = struct({
  major:   restricted(u8, value => value === 1, 'BAD_PARAMETER'),
  minor:   restricted(u8, value => value === 1 || value === 2, 'BAD_PARAMETER'),
  reqSize: u16,
});

/** §21.6 TPM_CAP_VERSION_INFO. */
// biome-ignore format: table
export const capVersionInfo = structure(0x0030, {
  version:        bytes(4),
  specLevel:      u16,
  errataRev:      u8,
  tpmVendorID:    bytes(4),
  vendorSpecific: sized(u16),
});

/** §21.10 TPM_DA_INFO and §21.11 TPM_DA_INFO_LIMITED, each with a §21.9 TPM_DA_ACTION_TYPE. */
const daActionType = structure(0x0039, { actions: u32 });

// biome-ignore format: table
export const daInfo = structure(0x0037, {
  state:             u8,
  currentCount:      u16,
  thresholdCount:    u16,
  actionAtThreshold: daActionType,
  actionDependValue: u32,
  vendorData:        sizedBuffer,
});

// biome-ignore format: table
export const daInfoLimited = structure(0x0038, {
  state:             u8,
  actionAtThreshold: daActionType,
  vendorData:        sizedBuffer,
});
