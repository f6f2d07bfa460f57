/**
 * What the capability commands answer with (TPM Main Part 2, §21).
 * @module
 */
import { bytes, sized, struct, u8, u16, u32 } from '../../../wire/codec.js';
import { restricted, sizedBuffer, structure } from './codecs.js';

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
