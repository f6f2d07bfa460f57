/**
 * The PCRs of a PC client (TCG PC Client TPM Profile 1.2, §"PCR attributes"; TPM Main Part 2, §8):
 * which of them can be reset, and from which localities they are reset and extended.
 * @module
 */
import { concat, encode, equal, type Of } from '../../../wire/codec.js';
import { sha1 } from '../../crypto/hash.js';
import { hasBit } from '../../kernel/bits.js';
import { LIMITS } from '../limits.js';
import { demand } from '../results.js';
import { noBytes20 } from '../structures/basic.js';
import {
  ALL_LOCALITIES,
  composite,
  type PcrInfoShort,
  type PcrInfos,
  selectsAny,
} from '../structures/pcr-info.js';

/** The PCR that takes the digest of a hash sequence of locality 4, and the others of a DRTM. */
export const DRTM_PCR = 17;

const DYNAMIC_PCRS_LAST = 22;

interface PcrAttributes {
  readonly from: number;
  readonly to: number;
  /** Sets of localities, bit 0 for locality 0; a PCR that no locality resets lives until power off. */
  readonly reset: number;
  readonly extend: number;
}

// biome-ignore format: table
const ATTRIBUTES: readonly PcrAttributes[] = [
  { from:  0, to: 15, reset: 0b00000,        extend: ALL_LOCALITIES },
  { from: 16, to: 16, reset: ALL_LOCALITIES, extend: ALL_LOCALITIES },
  { from: 17, to: 18, reset: 0b10000,        extend: 0b11100 },
  { from: 19, to: 19, reset: 0b10000,        extend: 0b01100 },
  { from: 20, to: 20, reset: 0b10100,        extend: 0b01110 },
  { from: 21, to: 22, reset: 0b00100,        extend: 0b00100 },
  { from: 23, to: 23, reset: ALL_LOCALITIES, extend: ALL_LOCALITIES },
];

export function attributesOf(pcr: number): PcrAttributes {
  const row = ATTRIBUTES.find(({ from, to }) => pcr >= from && pcr <= to);
  demand(row !== undefined, 'BADINDEX');
  return row;
}

/** Those PCRs, in order, that no locality resets: TPM_SaveState keeps them. */
export const STATIC_PCRS: readonly number[] = Array.from(
  { length: LIMITS.pcrs },
  (_, pcr) => pcr,
).filter(pcr => attributesOf(pcr).reset === 0);

export const mayFrom = (localities: number, locality: number): boolean =>
  hasBit(localities, locality);

const isDynamic = (pcr: number): boolean => pcr >= DRTM_PCR && pcr <= DYNAMIC_PCRS_LAST;

/** What the PCRs hold at power on. */
export const freshPcrs = (): Uint8Array[] =>
  Array.from({ length: LIMITS.pcrs }, (_, pcr) =>
    new Uint8Array(20).fill(isDynamic(pcr) ? 0xff : 0),
  );

/** What TPM_PCR_Reset leaves in a PCR: all ones tell that no trusted system was ever there. */
export const resetPcr = (pcr: number, tosPresent: boolean): Uint8Array =>
  new Uint8Array(20).fill(isDynamic(pcr) && !tosPresent ? 0xff : 0);

/** A hash sequence of locality 4 sets the dynamic PCRs to zero. */
export function enterDynamicMode(pcrs: Uint8Array[]): void {
  for (let pcr = DRTM_PCR; pcr <= DYNAMIC_PCRS_LAST; pcr += 1) pcrs[pcr] = noBytes20();
}

/** The PCRs that a selection names. */
export const selected = (selection: Uint8Array): number[] =>
  Array.from({ length: 8 * selection.length }, (_, pcr) => pcr).filter(pcr =>
    hasBit(selection[pcr >>> 3] ?? 0, pcr & 7),
  );

/** The digest over a selection of PCRs; zeros where it selects none. */
export function compositeDigest(pcrs: readonly Uint8Array[], selection: Uint8Array): Uint8Array {
  if (!selectsAny(selection)) return noBytes20();
  return sha1(encode(composite, compositeOf(pcrs, selection)));
}

/** A selection of PCRs with what they hold. */
export const compositeOf = (
  pcrs: readonly Uint8Array[],
  selection: Uint8Array,
): Of<typeof composite> => ({
  select: selection,
  pcrValue: concat(...selected(selection).map(pcr => pcrs[pcr]!)),
});

/** What a structure asks of the PCRs and of the locality before it is used. */
export interface Release {
  readonly selection: Uint8Array | undefined;
  readonly digest: Uint8Array;
  readonly localities: number;
}

/** The same of PCR information in either form of a key or of sealed data; neither asks for nothing. */
export function releaseOf({ pcrs11, pcrs12 }: PcrInfos): Release {
  return {
    selection: pcrs11?.pcrSelection ?? pcrs12?.releasePCRSelection,
    digest: (pcrs11 ?? pcrs12)?.digestAtRelease ?? noBytes20(),
    localities: pcrs12?.localityAtRelease ?? ALL_LOCALITIES,
  };
}

/** @throws TpmFault WRONGPCRVAL, or `wrongLocality` */
export function demandReleased(
  pcrs: readonly Uint8Array[],
  locality: number,
  { selection, digest, localities }: Release,
  wrongLocality: 'BAD_LOCALITY' | 'WRONGPCRVAL' = 'BAD_LOCALITY',
): void {
  if (selection !== undefined && selectsAny(selection)) {
    demand(equal(compositeDigest(pcrs, selection), digest), 'WRONGPCRVAL');
  }
  demand(mayFrom(localities, locality), wrongLocality);
}

/** Demands that PCRs and locality are what a TPM_PCR_INFO_SHORT asks for. */
export const demandRelease = (
  pcrs: readonly Uint8Array[],
  locality: number,
  { pcrSelection: selection, digestAtRelease: digest, localityAtRelease }: PcrInfoShort,
): void => demandReleased(pcrs, locality, { selection, digest, localities: localityAtRelease });

/** PCR information of what is made now, with what the PCRs hold and the locality. */
export function createdNow(
  pcrs: readonly Uint8Array[],
  locality: number,
  { pcrs11, pcrs12 }: PcrInfos,
): PcrInfos {
  const digestOf = (selection: Uint8Array) => compositeDigest(pcrs, selection);
  return {
    pcrs11: pcrs11 && { ...pcrs11, digestAtCreation: digestOf(pcrs11.pcrSelection) },
    pcrs12: pcrs12 && {
      ...pcrs12,
      localityAtCreation: 2 ** locality,
      digestAtCreation: digestOf(pcrs12.creationPCRSelection),
    },
  };
}
