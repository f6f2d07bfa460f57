/**
 * One of the two slots: its directory, and whether the generation in it is complete.
 * @module
 */
import { equal } from '../../wire/codec.js';
import { brokenClaims } from './claims.js';
import type { Keys } from './keyring.js';
import {
  type Directory,
  type Entry,
  PAGE_BYTES,
  SECTOR_BYTES,
  SLOT_OFFSETS,
  type SlotIndex,
} from './layout.js';
import { isAuthentic, type Parsed, readDirectory, sha256Of } from './pages.js';

/** What reading needs of a disk. */
export interface Readable {
  readonly length: number;
  read(offset: number, length: number): Uint8Array;
}

export interface Slot {
  readonly index: SlotIndex;
  readonly page: Uint8Array;
  readonly parsed: Parsed<Directory>;
  /** What keeps the generation of this slot from being used: empty if it is complete. */
  readonly damage: readonly string[];
  readonly isForged: boolean;
}

export const entriesOf = ({ parsed }: Slot): readonly Entry[] =>
  parsed.is === 'sound' ? parsed.value.entries : [];

/** What of a slot is read again before every store. */
export const headOf = (page: Uint8Array): Uint8Array => page.slice(0, SECTOR_BYTES);

/** @param digests of stretches that the other slot has too */
export function examineSlot(
  disk: Readable,
  index: SlotIndex,
  keys: Keys,
  digests: Map<string, Uint8Array>,
): Slot {
  const page = disk.read(SLOT_OFFSETS[index], PAGE_BYTES);
  const parsed = readDirectory(page);
  const where = `directory slot ${index} at offset ${SLOT_OFFSETS[index]}`;
  const slot = { index, page, parsed, damage: [], isForged: false };
  if (parsed.is === 'broken') return { ...slot, damage: [`${where}: ${parsed.why}`] };
  if (parsed.is !== 'sound') return slot;

  const cipher = keys.cipherOf(parsed.value);
  if (cipher !== undefined && !isAuthentic(page, cipher)) {
    const why = `${where}: its MAC is wrong, so it was written without the key`;
    return { ...slot, damage: [why], isForged: true };
  }
  const broken = brokenClaims(parsed.value).map(why => `${where}: ${why}`);
  if (broken.length > 0) {
    return { ...slot, parsed: { is: 'broken', why: broken.join(', ') }, damage: broken };
  }
  return { ...slot, damage: damagedBlobs(disk, parsed.value, digests) };
}

/** The blobs of a directory that are not what its digests say. */
function damagedBlobs(
  disk: Readable,
  directory: Directory,
  digests: Map<string, Uint8Array>,
): string[] {
  return directory.entries.flatMap(({ name, offset, length, digest }) => {
    const where = `blob ${name} of generation ${directory.generation} at offset ${offset}`;
    if (offset + length > disk.length) return [`${where} lies past the end of the disk`];
    const stretch = `${offset}+${length}`;
    const found = digests.get(stretch) ?? sha256Of(disk, offset, length);
    digests.set(stretch, found);
    return equal(found, digest) ? [] : [`${where}, ${length} bytes: its digest is wrong`];
  });
}
