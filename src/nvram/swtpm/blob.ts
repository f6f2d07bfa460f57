/**
 * swtpm's wrapper around a blob of libtpms, the same in a state file, in a slot of a linear store, and
 * in QEMU's migration stream: a header of 10 bytes, then sections. A migration wraps the sections of
 * the stored blob once more, under the migration key where there is one.
 * @module
 */
import { WireError } from '../../wire/codec.js';
import type { Entropy } from '../image/cipher.js';
import { type Box, openBox, sealBox } from './cipher.js';
import { SwtpmError } from './errors.js';
import { FLAG, flagsOf, HEADER_BYTES, withHeader } from './header.js';
import { readSections, type Sections, TAG, writeSections } from './sections.js';

/** swtpm's keys, of 16 or 32 bytes each. */
export interface SwtpmKeys {
  /** `--key`: what state files are encrypted with. */
  readonly key?: Uint8Array | undefined;
  /** `--migration-key`: what blobs of a migration are encrypted with. */
  readonly migrationKey?: Uint8Array | undefined;
}

/** The two layers of encryption: their tags, flags and names. */
interface Layer {
  readonly what: string;
  readonly plain: typeof TAG.DATA | typeof TAG.MIGRATION_DATA;
  readonly encrypted: typeof TAG.ENCRYPTED_DATA | typeof TAG.ENCRYPTED_MIGRATION_DATA;
  readonly iv: typeof TAG.IV | typeof TAG.MIGRATION_IV;
  readonly flag: number;
  readonly flag256: number;
}

// biome-ignore format: table
const STORED: Layer = {
  what: 'key', plain: TAG.DATA, encrypted: TAG.ENCRYPTED_DATA, iv: TAG.IV,
  flag: FLAG.ENCRYPTED, flag256: FLAG.KEY_256,
};
// biome-ignore format: table
const MIGRATED: Layer = {
  what: 'migration key', plain: TAG.MIGRATION_DATA, encrypted: TAG.ENCRYPTED_MIGRATION_DATA, iv: TAG.MIGRATION_IV,
  flag: FLAG.MIGRATION_ENCRYPTED, flag256: FLAG.MIGRATION_KEY_256,
};

/**
 * The blob of libtpms that is in swtpm's wrapper.
 * @param path for messages
 * @throws SwtpmError MALFORMED, REVISION, KEY_REQUIRED, WRONG_KEY
 */
export function unwrapBlob(path: string, wrapped: Uint8Array, keys: SwtpmKeys): Uint8Array {
  const flags = flagsOf(path, wrapped);
  const opening = { path, flags };
  const isMigrated = (flags & FLAG.MIGRATION_DATA) !== 0;
  if (!isMigrated && keys.migrationKey !== undefined) {
    throw new SwtpmError('WRONG_KEY', path, 'a migration key is given, and this is no migration');
  }
  const outer = sectionsOf(path, wrapped.subarray(HEADER_BYTES));
  const inner = isMigrated
    ? sectionsOf(path, opened(outer, MIGRATED, keys.migrationKey, opening))
    : outer;
  return opened(inner, STORED, keys.key, opening);
}

function sectionsOf(path: string, bytes: Uint8Array): Sections {
  try {
    return readSections(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new SwtpmError('MALFORMED', path, `a section is cut off (${error.message})`);
  }
}

/** What one layer holds. */
function opened(
  sections: Sections,
  layer: Layer,
  key: Uint8Array | undefined,
  { path, flags }: { readonly path: string; readonly flags: number },
): Uint8Array {
  const { what } = layer;
  const malformed = (why: string) => new SwtpmError('MALFORMED', path, why);
  if ((flags & layer.flag) === 0) {
    const plain = sections.get(layer.plain);
    if (plain === undefined) throw malformed('it holds no data');
    if (key === undefined) return plain;
    throw new SwtpmError('WRONG_KEY', path, `it is not encrypted, and a ${what} is given`);
  }
  if (key === undefined) {
    throw new SwtpmError('KEY_REQUIRED', path, `it is encrypted with a ${what}`);
  }
  const bits = (flags & layer.flag256) === 0 ? 128 : 256;
  if (key.length * 8 !== bits) {
    const why = `its ${what} has ${bits} bits, and the one given has ${key.length * 8}`;
    throw new SwtpmError('WRONG_KEY', path, why);
  }
  const result = openBox(boxIn(sections, layer) ?? throwing(malformed('it holds no data')), key);
  if ('plain' in result) return result.plain;
  if (result.fault !== 'unauthentic') throw malformed(result.fault);
  throw new SwtpmError('WRONG_KEY', path, `this is not its ${what}, or it is damaged`);
}

function throwing(error: SwtpmError): never {
  throw error;
}

function boxIn(sections: Sections, { encrypted, iv }: Layer): Box | undefined {
  const ciphertext = sections.get(encrypted);
  const hmac = sections.get(TAG.HMAC);
  if (ciphertext === undefined || hmac === undefined) return undefined;
  return { ciphertext, hmac, iv: sections.get(iv) };
}

/**
 * A blob of libtpms in swtpm's wrapper, as swtpm 0.7.1 and later read it.
 * @param form as it is stored, or as it is migrated
 * @param entropy for the IVs
 */
export function wrapBlob(
  blob: Uint8Array,
  form: 'stored' | 'migrated',
  { key, migrationKey }: SwtpmKeys,
  entropy: Entropy,
): Uint8Array {
  const stored = closed(blob, STORED, key, entropy);
  if (form === 'stored') return withHeader(stored.flags, stored.sections);
  const migrated = closed(stored.sections, MIGRATED, migrationKey, entropy);
  return withHeader(stored.flags | migrated.flags | FLAG.MIGRATION_DATA, migrated.sections);
}

/** The same without a key. */
export const wrapPlainBlob = (blob: Uint8Array, form: 'stored' | 'migrated'): Uint8Array =>
  wrapBlob(blob, form, {}, () => {
    throw new Error('plain blobs have no IV');
  });

function closed(
  content: Uint8Array,
  layer: Layer,
  key: Uint8Array | undefined,
  entropy: Entropy,
): { readonly flags: number; readonly sections: Uint8Array } {
  if (key === undefined) return { flags: 0, sections: writeSections([layer.plain, content]) };
  const { ciphertext, hmac, iv } = sealBox(content, key, entropy);
  const sections = writeSections([layer.encrypted, ciphertext], [TAG.HMAC, hmac], [layer.iv, iv]);
  return { flags: layer.flag | (key.length === 32 ? layer.flag256 : 0), sections };
}
