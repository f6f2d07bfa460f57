/**
 * Header extensions, which follow the header: QEMU docs/interop/qcow2, "Header extensions". Unknown
 * ones are kept.
 * @module
 */
import { bytes, concat, encode, Reader, struct, u8, u32, WireError } from '../../wire/codec.js';
import { ImageError } from '../node.js';
import { printable } from './text.js';
import { viewOf } from './words.js';

// biome-ignore format: table
export const EXTENSION = {
  end:           0x0000_0000,
  backingFormat: 0xe279_2aca,
  featureNames:  0x6803_f857,
  bitmaps:       0x2385_2875,
  encryption:    0x0537_be77,
  dataFile:      0x4441_5441,
  /** Ours: 'nvtp', the trace of a store. See store-tag.ts. */
  storeTag:      0x6e76_7470,
} as const;

export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

export interface ExtensionArea {
  readonly extensions: readonly Extension[];
  /** Bytes that they take, with the end mark. */
  readonly length: number;
}

/**
 * The extensions in `area`: the bytes from the end of the header to the backing file's name, or to
 * the end of the first cluster.
 * @throws ImageError MALFORMED where one runs past the area
 */
export function readExtensions(path: string, area: Uint8Array): ExtensionArea {
  const from = new Reader(area);
  const extensions: Extension[] = [];
  try {
    while (from.left >= 8) {
      const type = u32.read(from);
      const length = u32.read(from);
      // Read even for the end mark: one that claims more than there is, is damaged.
      const data = from.take(length);
      if (type === EXTENSION.end) break;
      extensions.push({ type, data });
      from.take(Math.min(padding(length), from.left));
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new ImageError('MALFORMED', path, ['a header extension is too large']);
  }
  return { extensions, length: from.at };
}

/** Whether the end mark of the extensions lies in `area`, the start of a longer one. */
export function hasEndMark(area: Uint8Array): boolean {
  const view = viewOf(area);
  for (let at = 0; at + 8 <= area.length; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION.end) return at + 8 + length <= area.length;
    at += 8 + length + padding(length);
  }
  return false;
}

/** The extensions as bytes, with the end mark behind them. */
export function writeExtensions(extensions: readonly Extension[]): Uint8Array {
  const parts = extensions.map(({ type, data }) =>
    concat(encode(u32, type), encode(u32, data.length), data, new Uint8Array(padding(data.length))),
  );
  return concat(...parts, new Uint8Array(8));
}

const padding = (length: number): number => (8 - (length % 8)) % 8;

const featureName = struct({ kind: u8, bit: u8, name: bytes(46) });
export type FeatureKind = 'incompatible' | 'compatible' | 'autoclear';
const KINDS: readonly FeatureKind[] = ['incompatible', 'compatible', 'autoclear'];

/** The image's own name of a feature bit. */
export function featureNameOf(
  extensions: readonly Extension[],
  kind: FeatureKind,
  bit: number,
): string | undefined {
  const table = extensions.find(each => each.type === EXTENSION.featureNames)?.data;
  if (table === undefined) return undefined;
  const from = new Reader(table);
  while (from.left >= 48) {
    const row = featureName.read(from);
    if (row.bit === bit && KINDS[row.kind] === kind) return printable(textOf(row.name));
  }
  return undefined;
}

/** The text before the first NUL. */
function textOf(name: Uint8Array): string {
  const end = name.indexOf(0);
  return new TextDecoder().decode(end < 0 ? name : name.subarray(0, end));
}

/** The feature name table that QEMU 7.2 writes. */
export function featureNames(): Extension {
  // biome-ignore format: table
  const names: readonly (readonly [FeatureKind, number, string])[] = [
    ['incompatible', 0, 'dirty bit'],
    ['incompatible', 1, 'corrupt bit'],
    ['incompatible', 2, 'external data file'],
    ['incompatible', 3, 'compression type'],
    ['incompatible', 4, 'extended L2 entries'],
    ['compatible',   0, 'lazy refcounts'],
    ['autoclear',    0, 'bitmaps'],
    ['autoclear',    1, 'raw external data'],
  ];
  const rows = names.map(([kind, bit, text]) => {
    const name = new Uint8Array(46);
    name.set(new TextEncoder().encode(text));
    return encode(featureName, { kind: KINDS.indexOf(kind), bit, name });
  });
  return { type: EXTENSION.featureNames, data: concat(...rows) };
}
