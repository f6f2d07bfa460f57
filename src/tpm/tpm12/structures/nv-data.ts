/**
 * NV storage structures (TPM Main Part 2, §19).
 * @module
 */
import { bool, type Codec, type Of, u32 } from '../../../wire/codec.js';
import { structure } from './codecs.js';
import { type PcrInfoShort, pcrInfoKept, pcrInfoShort } from './pcr-info.js';

/** §19.2 TPM_NV_ATTRIBUTES. */
const nvAttributes = structure(0x0017, { attributes: u32 });

/** §19.2, the bits of TPM_NV_ATTRIBUTES. */
// biome-ignore format: table
export const NvPermission = {
  READ_STCLEAR:  0x8000_0000,
  AUTHREAD:      0x0004_0000,
  OWNERREAD:     0x0002_0000,
  PPREAD:        0x0001_0000,
  GLOBALLOCK:    0x0000_8000,
  WRITE_STCLEAR: 0x0000_4000,
  WRITEDEFINE:   0x0000_2000,
  WRITEALL:      0x0000_1000,
  AUTHWRITE:     0x0000_0004,
  OWNERWRITE:    0x0000_0002,
  PPWRITE:       0x0000_0001,
} as const;

const nvDataPublicOf = (pcr: Codec<PcrInfoShort>) =>
  // biome-ignore format: table
  structure(0x0018, {
    nvIndex:      u32,
    pcrInfoRead:  pcr,
    pcrInfoWrite: pcr,
    permission:   nvAttributes,
    readSTClear:  bool,
    writeSTClear: bool,
    writeDefine:  bool,
    dataSize:     u32,
  });

/** §19.3 TPM_NV_DATA_PUBLIC: the public part of an NV index; and as `permall` keeps it. */
export const nvDataPublic = nvDataPublicOf(pcrInfoShort);

export const nvDataPublicKept = nvDataPublicOf(pcrInfoKept);

export type NvDataPublic = Of<typeof nvDataPublic>;
