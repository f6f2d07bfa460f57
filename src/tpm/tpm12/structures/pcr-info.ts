/**
 * PCR structures (TPM Main Part 2, §8).
 * @module
 */
import { type Codec, type Of, sized, struct, u8, u16 } from '../../../wire/codec.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { digest, noBytes20 } from './basic.js';
import { restricted, sizedBuffer, structure } from './codecs.js';

/** §8.1 TPM_PCR_SELECTION: a map, PCR 0 in the lowest bit of the first byte. */
export const pcrSelection: Codec<Uint8Array> = {
  size: undefined,
  read(from) {
    const count = u16.read(from);
    demand(count <= LIMITS.pcrs / 8, 'INVALID_PCR_INFO');
    return from.take(count);
  },
  write: (to, value) => sized(u16).write(to, value),
};

/** §8.6 TPM_LOCALITY_SELECTION: a set of localities 0 to 4, and not the empty one. */
export const ALL_LOCALITIES = 0x1f;

const localitySelection = restricted(
  u8,
  set => set !== 0 && set <= ALL_LOCALITIES,
  'INVALID_STRUCTURE',
);

/** §8.3 TPM_PCR_INFO. */
// biome-ignore format: table
export const pcrInfo = struct({
  pcrSelection:     pcrSelection,
  digestAtRelease:  digest,
  digestAtCreation: digest,
});

/** §8.4 TPM_PCR_INFO_LONG. */
// biome-ignore format: table
export const pcrInfoLong = structure(0x0006, {
  localityAtCreation:   localitySelection,
  localityAtRelease:    localitySelection,
  creationPCRSelection: pcrSelection,
  releasePCRSelection:  pcrSelection,
  digestAtCreation:     digest,
  digestAtRelease:      digest,
});

/** PCR information in the form of TPM 1.1, or of 1.2; neither where nothing is asked of the PCRs. */
export interface PcrInfos {
  readonly pcrs11: Of<typeof pcrInfo> | undefined;
  readonly pcrs12: Of<typeof pcrInfoLong> | undefined;
}

/** §8.5 TPM_PCR_INFO_SHORT. */
// biome-ignore format: table
export const pcrInfoShort = struct({
  pcrSelection:      pcrSelection,
  localityAtRelease: localitySelection,
  digestAtRelease:   digest,
});

export type PcrInfoShort = Of<typeof pcrInfoShort>;

export const noPcrInfoShort = (): PcrInfoShort => ({
  pcrSelection: new Uint8Array(3),
  localityAtRelease: ALL_LOCALITIES,
  digestAtRelease: noBytes20(),
});

/** TPM_PCR_INFO_SHORT as libtpms keeps it for NV: the digest lies there only where a PCR counts. */
export const pcrInfoKept: Codec<PcrInfoShort> = {
  size: undefined,
  read(from) {
    const selection = pcrSelection.read(from);
    return {
      pcrSelection: selection,
      localityAtRelease: localitySelection.read(from),
      digestAtRelease: selectsAny(selection) ? digest.read(from) : noBytes20(),
    };
  },
  write(to, value) {
    pcrSelection.write(to, value.pcrSelection);
    localitySelection.write(to, value.localityAtRelease);
    if (selectsAny(value.pcrSelection)) digest.write(to, value.digestAtRelease);
  },
};

/** Whether a selection names any PCR at all. */
export const selectsAny = (selection: Uint8Array): boolean => selection.some(byte => byte !== 0);

/** Part 2 §8.2 TPM_PCR_COMPOSITE. */
export const composite = struct({ select: pcrSelection, pcrValue: sizedBuffer });
