/**
 * The header of swtpm's wrapper: versions, flags, and the length of the whole.
 * @module
 */
import { concat, encode, layout, Reader, u8, u16, u32 } from '../../wire/codec.js';
import { SwtpmError } from './errors.js';

export const HEADER_BYTES = 10;
const VERSION = 2;
/** The oldest reader that understands what is written here. */
const VERSION_MIN = 1;

// biome-ignore format: table
const header = layout(0, HEADER_BYTES, {
  version:     [0, u8],
  versionMin:  [1, u8],
  headerBytes: [2, u16],
  flags:       [4, u16],
  totalBytes:  [6, u32],
});

/** Flags that are not named here mean nothing to any version of swtpm so far, and are ignored. */
// biome-ignore format: table
export const FLAG = {
  ENCRYPTED:           0x01,
  MIGRATION_ENCRYPTED: 0x02,
  MIGRATION_DATA:      0x04,
  KEY_256:             0x08,
  MIGRATION_KEY_256:   0x10,
};

/**
 * Checks the header.
 * @returns its flags
 * @throws SwtpmError MALFORMED, REVISION
 */
export function flagsOf(path: string, wrapped: Uint8Array): number {
  if (wrapped.length < HEADER_BYTES) {
    throw new SwtpmError('MALFORMED', path, `${wrapped.length} bytes are too few for a header`);
  }
  const { versionMin, headerBytes, flags, totalBytes } = header.read(new Reader(wrapped));
  if (headerBytes !== HEADER_BYTES) {
    throw new SwtpmError('MALFORMED', path, 'it does not begin with the header of swtpm');
  }
  if (versionMin > VERSION) {
    const why = `it needs a reader of version ${versionMin}, and this one has version ${VERSION}`;
    throw new SwtpmError('REVISION', path, why);
  }
  if (totalBytes === wrapped.length) return flags;
  const why = `its header names ${totalBytes} bytes, and there are ${wrapped.length}`;
  throw new SwtpmError('MALFORMED', path, why);
}

/** Sections behind a header. */
export function withHeader(flags: number, sections: Uint8Array): Uint8Array {
  const totalBytes = HEADER_BYTES + sections.length;
  const fields = { version: VERSION, versionMin: VERSION_MIN, headerBytes: HEADER_BYTES };
  return concat(encode(header, { ...fields, flags, totalBytes }), sections);
}
