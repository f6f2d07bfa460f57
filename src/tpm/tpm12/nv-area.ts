/**
 * The NV indices of a TPM (TPM Main Part 3, §20): finding one, making room for one, and what its
 * permissions ask of who reads and who writes.
 * @module
 */
import { concat, encode } from '../../wire/codec.js';
import { sha1 } from '../crypto/hash.js';
import { wipe } from '../crypto/secrets.js';
import { hasMask } from '../kernel/bits.js';
import type { Call } from './call.js';
import { LIMITS } from './limits.js';
import { demand } from './results.js';
import { demandRelease } from './state/pcr.js';
import { isPin, type NvEntry, nvArea, type Permanent } from './state/permanent.js';
import { NvPermission } from './structures/nv-data.js';

type NvArea = Permanent['nv'];

/** @throws TpmFault BADINDEX where there is no such index */
export function findNv(area: NvArea, nvIndex: number): NvEntry {
  const found = area.find(entry => entry?.publicInfo.nvIndex === nvIndex);
  demand(found !== undefined, 'BADINDEX');
  return found;
}

/** The digest by which an OSAP session knows an index; libtpms has the index in the host's order. */
export function nvDigest({ publicInfo, authValue }: NvEntry): Uint8Array {
  const index = new DataView(new ArrayBuffer(4));
  index.setUint32(0, publicInfo.nvIndex, true);
  return sha1(concat(new Uint8Array(index.buffer), authValue));
}

/**
 * Counts a write without the owner's authorisation; how many there were is the caller's to keep.
 * @throws TpmFault MAXNVWRITES past the limit
 */
export function countNoOwnerWrite({ state }: Call): number {
  const writes = state.permanent.data.noOwnerNVWrite + 1;
  demand(writes <= LIMITS.noOwnerNvWrites, 'MAXNVWRITES');
  return writes;
}

/** Bytes that are left for indices. */
export function freeNvBytes(area: NvArea): number {
  return LIMITS.nvBytes - encode(nvArea, area).length;
}

/** Takes an index out and leaves a hole, for the next one. */
export function removeNv(area: NvArea, entry: NvEntry): void {
  area[area.indexOf(entry)] = undefined;
  wipe(entry.authValue, entry.data);
}

export const permits = (entry: NvEntry, bit: keyof typeof NvPermission): boolean =>
  hasMask(entry.publicInfo.permission.attributes, NvPermission[bit]);

/** Demands that nothing locks an index against writing. */
export function demandWritable({ state }: Call, entry: NvEntry): void {
  const { writeDefine, writeSTClear } = entry.publicInfo;
  demand(!(permits(entry, 'WRITEDEFINE') && writeDefine), 'AREA_LOCKED');
  demand(!(permits(entry, 'GLOBALLOCK') && state.stclearFlags.bGlobalLock), 'AREA_LOCKED');
  demand(!(permits(entry, 'WRITE_STCLEAR') && writeSTClear), 'AREA_LOCKED');
}

/** Demands that nothing locks an index against reading. */
export function demandReadable(entry: NvEntry): void {
  demand(!(permits(entry, 'READ_STCLEAR') && entry.publicInfo.readSTClear), 'DISABLED_CMD');
}

/** Demands the PCRs and the locality that an index wants. */
export const demandNvRelease = (
  { state, locality }: Call,
  info: NvEntry['publicInfo']['pcrInfoRead'],
): void => demandRelease(state.stclear.pcrs, locality, info);

/** Reads from an index; reading nothing locks it against reading, where that is permitted. */
export function readNv({ publicInfo, data }: NvEntry, offset: number, length: number): Uint8Array {
  if (length === 0) {
    publicInfo.readSTClear = true;
    return new Uint8Array();
  }
  demand(offset + length <= publicInfo.dataSize, 'NOSPACE');
  // Pins that are not connected read as zeros, and take no notice of what is written.
  return isPin(publicInfo) ? new Uint8Array(length) : data.slice(offset, offset + length);
}

/** Writes to an index; writing nothing locks it against writing. What is there already stays. */
export function writeNv(call: Call, entry: NvEntry, offset: number, data: Uint8Array): void {
  const { publicInfo } = entry;
  if (data.length === 0) {
    publicInfo.writeSTClear = true;
    if (!publicInfo.writeDefine) call.altered = true;
    publicInfo.writeDefine = true;
  } else {
    demand(offset + data.length <= publicInfo.dataSize, 'NOSPACE');
    const whole = data.length === publicInfo.dataSize;
    demand(!permits(entry, 'WRITEALL') || whole, 'NOT_FULLWRITE');
    const held = entry.data.subarray(offset, offset + data.length);
    if (!isPin(publicInfo) && Buffer.compare(held, data) !== 0) {
      held.set(data);
      call.altered = true;
    }
  }
  publicInfo.readSTClear = false;
}
