/**
 * The sections that swtpm's blobs are made of: a tag, a length, and the value. Their order is free, and
 * sections with unknown tags are skipped.
 * @module
 */
import { concat, encode, Reader, sized, struct, u16, u32 } from '../../wire/codec.js';

/** What a section holds. */
export const TAG = {
  DATA: 1,
  ENCRYPTED_DATA: 2,
  HMAC: 3,
  MIGRATION_DATA: 4,
  ENCRYPTED_MIGRATION_DATA: 5,
  IV: 6,
  MIGRATION_IV: 7,
} as const;

type Tag = (typeof TAG)[keyof typeof TAG];

const section = struct({ tag: u16, value: sized(u32) });

/** Sections by tag: of several with one tag, the first. */
export type Sections = ReadonlyMap<number, Uint8Array>;

/** @throws WireError where a section is cut off */
export function readSections(bytes: Uint8Array): Sections {
  const found = new Map<number, Uint8Array>();
  const from = new Reader(bytes);
  while (from.left > 0) {
    const { tag, value } = section.read(from);
    if (!found.has(tag)) found.set(tag, value);
  }
  return found;
}

/** Sections one after another, in the order given. */
export const writeSections = (...sections: readonly (readonly [Tag, Uint8Array])[]): Uint8Array =>
  concat(...sections.map(([tag, value]) => encode(section, { tag, value }, value.length + 6)));
