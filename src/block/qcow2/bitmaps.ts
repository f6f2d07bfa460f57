/**
 * Persistent dirty bitmaps, as far as a check must know them: QEMU docs/interop/qcow2, "Bitmaps".
 * They count only while their autoclear bit is set; we clear it before we write, since we do not
 * keep bitmaps up to date.
 * @module
 */
import { layout, Reader, u8, u16, u32 } from '../../wire/codec.js';
import { EXTENSION } from './extensions.js';
import type { Image } from './image.js';
import { offset64, readWord } from './words.js';

// biome-ignore format: table
const extension = layout(0, 24, {
  count:           [ 0, u32],
  reserved:        [ 4, u32],
  directorySize:   [ 8, offset64],
  directoryOffset: [16, offset64],
});

const ENTRY_BYTES = 24;
// biome-ignore format: table
const entry = layout(0, ENTRY_BYTES, {
  tableOffset: [ 0, offset64],
  tableSize:   [ 8, u32],
  flags:       [12, u32],
  type:        [16, u8],
  granularity: [17, u8],
  nameLength:  [18, u16],
  extraLength: [20, u32],
});

/** QEMU's limits: so many bitmaps, so many bytes of directory and of table. */
const MOST_BITMAPS = 65_535;
const MOST_DIRECTORY_BYTES = 1024 * MOST_BITMAPS;
const MOST_TABLE_ENTRIES = 0x800_0000;

interface Used {
  readonly what: string;
  readonly offset: number;
  readonly length: number;
}

/** Where the image's bitmap directory lies, if its bitmaps count. */
export function bitmapDirectory(image: Image): Used | undefined {
  const data = image.extensions.find(each => each.type === EXTENSION.bitmaps)?.data;
  if (data?.length !== 24 || image.header.autoclear % 2n === 0n) return undefined;
  const { directoryOffset, directorySize } = extension.read(new Reader(data));
  return { what: 'the bitmap directory', offset: directoryOffset, length: directorySize };
}

/** Everything that bitmaps take in the file. */
export function* bitmapClusters(
  image: Image,
  corrupt: (why: () => string) => void,
): Generator<Used> {
  const directory = bitmapDirectory(image);
  if (directory === undefined) return;
  yield directory;
  const { host, geometry } = image;
  if (directory.length > MOST_DIRECTORY_BYTES)
    return corrupt(() => 'the bitmap directory is too large');
  const there = Math.max(0, Math.min(directory.length, host.node.length - directory.offset));
  const bytes = host.read(directory.offset, there);
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; ) {
    const { tableOffset, tableSize, nameLength, extraLength } = entry.read(
      new Reader(bytes.subarray(at)),
    );
    at += Math.ceil((ENTRY_BYTES + nameLength + extraLength) / 8) * 8;
    if (tableSize > MOST_TABLE_ENTRIES) {
      corrupt(() => 'a bitmap table is too large');
      continue;
    }
    yield { what: 'a bitmap table', offset: tableOffset, length: tableSize * 8 };
    const rest = Math.max(0, Math.min(tableSize * 8, host.node.length - tableOffset));
    const table = host.read(tableOffset, rest);
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    for (let i = 0; i + 8 <= table.length; i += 8) {
      const { high, low } = readWord(view, i);
      const offset = (high & 0x00ff_ffff) * 2 ** 32 + (low - (low % 512));
      if (offset !== 0) yield { what: 'bitmap data', offset, length: geometry.clusterSize };
    }
  }
}
