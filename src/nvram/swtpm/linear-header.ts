/**
 * The header of swtpm's linear store: little-endian, 192 bytes, with 15 slots, of which the first three
 * are used. swtpm trusts the offsets; here each is checked before it is used.
 * @module
 */
import { SwtpmError } from './errors.js';
import { SWTPM_BLOBS } from './names.js';

/** `swtpmlin` as a big-endian number; on the disk it reads backwards. */
const MAGIC = 0x737774706d6c696en;
const VERSION = 1;
export const LINEAR_HEADER_BYTES = 192;
const SLOTS = 15;
const SLOTS_AT = 12;
const SLOT_BYTES = 12;

/** Where a blob lies. */
export interface Slot {
  readonly offset: number;
  readonly length: number;
  /** What is reserved for it: a power of two. */
  readonly sectionBytes: number;
}

/**
 * The slots in use, by their number.
 * @param bytes the first 192 bytes, or fewer where the file ends
 * @param size of the file; undefined where it is not known, as of a block device
 * @throws SwtpmError MALFORMED, REVISION
 */
export function readLinearHeader(
  path: string,
  bytes: Uint8Array,
  size: number | undefined,
): ReadonlyMap<number, Slot> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const malformed = (why: string) => new SwtpmError('MALFORMED', path, why);
  if (bytes.length < SLOTS_AT || view.getBigUint64(0, true) !== MAGIC) {
    throw malformed('it does not begin with the magic of a linear store of swtpm');
  }
  if (bytes.length < LINEAR_HEADER_BYTES) throw malformed('its header is cut off');
  const [version, headerBytes] = [view.getUint8(8), view.getUint16(10, true)];
  if (version > VERSION) {
    throw new SwtpmError('REVISION', path, `it has version ${version}, and ${VERSION} is known`);
  }
  if (headerBytes < LINEAR_HEADER_BYTES) {
    throw malformed(`its header claims ${headerBytes} bytes, and has ${LINEAR_HEADER_BYTES}`);
  }
  const slots = new Map<number, Slot>();
  for (let number = 0; number < SLOTS; number += 1) {
    const slot = slotAt(view, SLOTS_AT + number * SLOT_BYTES);
    if (slot.offset === 0) continue;
    const fault = faultOf(slot, headerBytes, size);
    if (fault !== undefined) throw malformed(`slot ${number} ${fault}`);
    slots.set(number, slot);
  }
  demandApart(slots, malformed);
  return slots;
}

const slotAt = (view: DataView, at: number): Slot => ({
  offset: view.getUint32(at, true),
  length: view.getUint32(at + 4, true),
  sectionBytes: view.getUint32(at + 8, true),
});

/** Sums of 32-bit numbers are exact here, and do not wrap as in swtpm. */
function faultOf(
  { offset, length, sectionBytes }: Slot,
  headerBytes: number,
  size: number | undefined,
): string | undefined {
  if (offset < headerBytes) return `begins at ${offset}, inside the header`;
  if (length > sectionBytes) return `has ${length} bytes in a section of ${sectionBytes}`;
  if (size !== undefined && offset + length > size) {
    return `ends at ${offset + length}, and the file has ${size} bytes`;
  }
  return undefined;
}

function demandApart(
  slots: ReadonlyMap<number, Slot>,
  malformed: (why: string) => SwtpmError,
): void {
  const inOrder = [...slots].sort(([, a], [, b]) => a.offset - b.offset);
  for (const [at, [number, slot]] of inOrder.entries()) {
    const next = inOrder[at + 1];
    if (next !== undefined && slot.offset + slot.length > next[1].offset) {
      throw malformed(`slots ${number} and ${next[0]} overlap`);
    }
  }
}

/** A whole linear store of these blobs in swtpm's wrapper, by number of their slots. */
export function encodeLinear(blobs: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const slots: [number: number, Slot, Uint8Array][] = [];
  let offset = LINEAR_HEADER_BYTES;
  for (const [number] of SWTPM_BLOBS.entries()) {
    const bytes = blobs.get(number);
    if (bytes === undefined) continue;
    const sectionBytes = 2 ** Math.ceil(Math.log2(bytes.length));
    slots.push([number, { offset, length: bytes.length, sectionBytes }, bytes]);
    offset += sectionBytes;
  }
  const store = new Uint8Array(offset);
  const view = new DataView(store.buffer);
  view.setBigUint64(0, MAGIC, true);
  view.setUint8(8, VERSION);
  view.setUint16(10, LINEAR_HEADER_BYTES, true);
  for (const [number, slot, bytes] of slots) {
    const at = SLOTS_AT + number * SLOT_BYTES;
    view.setUint32(at, slot.offset, true);
    view.setUint32(at + 4, slot.length, true);
    view.setUint32(at + 8, slot.sectionBytes, true);
    store.set(bytes, slot.offset);
  }
  return store;
}
